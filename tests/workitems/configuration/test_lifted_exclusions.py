"""A rule with `exclude: []` is warned about wherever a policy is validated, published or applied."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.core.management import call_command
from django.urls import reverse

from policies.documents.policy import parse_policy
from policies.language.lifted_exclusions import lifted_exclusions
from policies.models import PolicyVersion
from tests.console.sign_in import confirm, sign_in
from tests.workitems.office import RULES, Office
from threada_site.database.unit_of_work import unit_of_work

LIFTED = {**RULES[1], "approvals": {"role": "finance", "exclude": []}}
SPEC: dict[str, Any] = {"rules": [RULES[0], LIFTED, RULES[3]]}
SAID = (
    "Rule large excludes nobody: the requester, the last editor and the owner of an agent may approve their own "
    "request. Remove exclude to exclude them."
)
WARNING = {"pointer": "/rules/1/approvals/exclude", "detail": SAID, "code": "exclusions_lifted"}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "rules.yaml"
    path.write_text(json.dumps({"kind": "Policy", "id": "rules", "spec": SPEC}))
    return str(path)


def drafted(office: Office) -> str:
    """Return the id of a draft that lifts the exclusions."""
    answer = office.api("ada").post("/policies/rules/versions", {"document": SPEC})
    assert answer.status_code == 201, answer.content
    return str(answer.json()["policy_version_id"])


def run(*command: str) -> str:
    out = io.StringIO()
    call_command(*command, stdout=out)
    return out.getvalue()


@pytest.mark.parametrize("exclude", [None, ["requester"], ["policy_author"]])
@pytest.mark.parametrize("effect", ["require_approval", "review"])
def test_only_an_empty_list_is_warned_about(exclude: Any, effect: str) -> None:
    def warned(**approvals: Any) -> list[Any]:
        rule = {**RULES[1], "effect": effect, "at": "intake", "when": "true"}
        document = parse_policy({"rules": [{**rule, "approvals": {"role": "finance", **approvals}}, RULES[3]]})
        return [entry.as_json() for entry in lifted_exclusions(document)]

    assert warned(**({} if exclude is None else {"exclude": exclude})) == []
    assert warned(exclude=[]) == [{**WARNING, "pointer": "/rules/0/approvals/exclude"}]
    assert lifted_exclusions(parse_policy({"rules": RULES})) == []


def test_the_api_warns_at_validation_and_publication(office: Office) -> None:
    path = f"/policies/rules/versions/{drafted(office)}"
    validated = office.api("ada").post(f"{path}/validate").json()
    assert (validated["valid"], validated["warnings"]) == (True, [WARNING])
    published = office.api("ada").post(f"{path}/publish", {}).json()
    assert (published["status"], published["warnings"]) == ("published", [WARNING])


def test_the_api_warns_of_nothing_else(office: Office) -> None:
    draft = office.api("ada").post("/policies/rules/versions", {"document": {"rules": RULES[1:]}}).json()
    published = office.api("ada").post(f"/policies/rules/versions/{draft['policy_version_id']}/publish", {}).json()
    assert published["warnings"] == []


def test_the_console_warns_at_validation_and_publication(office: Office) -> None:
    key = drafted(office)
    browser = sign_in(office.people["ada"])

    def press(button: str, **sent: str) -> str:
        answer = confirm(browser, reverse(f"admin:policies_policyversion_{button}", args=[key]), sent)
        said = [str(message) for message in get_messages(answer.wsgi_request)]
        browser.get("/console/")  # shows and so forgets the message
        return said[0]

    assert SAID in press("validate")
    assert SAID in browser.get(reverse("admin:policies_policyversion_change", args=[key])).content.decode()
    with unit_of_work(office.tenant.id):
        digest = PolicyVersion.objects.get(status="draft").document_sha256
    said = press("publish", document_sha256=digest)
    assert said.startswith("Version 2 is in force.")
    assert SAID in said


def test_the_policy_command_warns_at_validation_and_publication(office: Office, file: str) -> None:
    tenant = ("--tenant", office.tenant.slug)
    assert f"warning: {SAID}" in run("policy", "validate", file, *tenant)
    drafted(office)
    assert f"warning: {SAID}" in run("policy", "publish", "rules", "--version", "2", *tenant)


def test_apply_warns_once(office: Office, file: str) -> None:
    for option in ("--plan", None):
        arguments = ["--tenant", office.tenant.slug, *([option] if option else [])]
        assert f"    warning: {SAID}\n" in run("apply", file, *arguments)
    assert SAID not in run("apply", file, "--tenant", office.tenant.slug)


def test_the_decision_page_shows_whom_the_rule_excludes(office: Office) -> None:
    _, step, _ = office.awaiting()
    office.put_rules(LIFTED, RULES[3])
    _, lifted, _ = office.awaiting()
    browser = sign_in(office.people["fay"])
    pages = [
        browser.get(reverse("admin:workitems_decisionstep_change", args=[row.public_id])).content.decode()
        for row in (step, lifted)
    ]
    assert "the requester, the last editor or the agent&#x27;s owner (rita)" in pages[0]
    assert "The rule excludes nobody: the requester, the last editor and the owner of an agent may decide." in pages[1]
