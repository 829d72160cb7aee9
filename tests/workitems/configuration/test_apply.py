"""`manage.py apply`: configuration as documents, whole or not at all."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command

from integrations.models import Integration, IntegrationVersion
from policies.models import Channel, List, ListVersion, Overlay, Policy, PolicyVersion, Workflow, WorkflowVersion
from telemetry.models import Receipt
from tests.factories import make_principal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.selectors import group_member_names
from threada_site.runtime.prepare import DEMO_DOCUMENTS
from threada_site.tenancy.models import Role, Tenant

MODELS = (
    Channel,
    Workflow,
    WorkflowVersion,
    List,
    ListVersion,
    Integration,
    IntegrationVersion,
    Policy,
    PolicyVersion,
    Overlay,
    Role,
    Receipt,
)

ISSUED = """\
kind: Channel
id: web_main
---
kind: Workflow
id: payment_run
spec:
  channel_required: true
  payload_schema: {type: object, required: [vendor, amount_minor], properties: {vendor: {type: string}, amount_minor: {type: integer}}}
  actions: [pay]
---
kind: Integration
id: int_bank
spec:
  connector: http
  base_url: http://127.0.0.1:9901
  idempotent: true
  auth: {scheme: bearer, secret: {env: BANK_TOKEN}}
  actions:
    pay: {method: POST, path: /payments, body: {vendor: "${item.payload.vendor}", amount_minor: "${item.payload.amount_minor}"}}
---
kind: Policy
id: payments
spec:
  rules:
    - {id: sanctioned-vendor, when: "item.payload.vendor in lists.sanctioned_vendors", effect: deny, reason: SANCTIONED_VENDOR}
    - id: large-payment
      when: "ctx.action == 'pay' && item.payload.amount_minor > 1000000"
      effect: require_approval
      reason: AMOUNT_OVER_LIMIT
      approvals: {all: [{role: finance, count: 2}], exclude: [requester], respond_within: PT8H, expires_after: P3D, on_expiry: reject}
    - {id: low-confidence, when: "item.confidence < 0.8", effect: review, reason: LOW_CONFIDENCE}
    - {id: within-limits, when: "true", effect: allow, reason: WITHIN_LIMITS}
  tests:
    - {given: {item: {payload: {vendor: Initech, amount_minor: 5}}}, expect: {effect: allow, reason: WITHIN_LIMITS}}
---
kind: Overlay
policy: payments
scope: {workflow: payment_run}
---
kind: List
id: sanctioned_vendors
spec: {items: [Globex]}
"""


def counts(tenant: Tenant) -> tuple[int, ...]:
    with unit_of_work(tenant.id):
        return tuple(model.objects.count() for model in MODELS)


class Ran:
    """Output and exit status of a command."""

    def __init__(self, capsys: pytest.CaptureFixture[str], path: Path, *options: str) -> None:
        try:
            call_command("apply", str(path), "--tenant", "acme", *options)
            self.code = 0
        except SystemExit as ended:
            self.code = int(ended.code or 0)
        printed = capsys.readouterr()
        self.out, self.err = printed.out, printed.err


@pytest.fixture
def apply(tenant: Tenant, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """`apply(text or path, *options)`."""

    def run(what: str | Path, *options: str, name: str = "documents.yaml") -> Ran:
        path = what
        if isinstance(what, str):
            path = tmp_path / name
            path.write_text(what, encoding="utf-8")
        return Ran(capsys, Path(path), *options)

    return run


def test_the_demo_folder_is_applied_once(apply: Any, tenant: Tenant) -> None:
    planned = apply(DEMO_DOCUMENTS, "--plan")
    assert (planned.code, planned.err.count("warning: ")) == (0, 2)
    assert planned.out.endswith("13 documents, 13 would be changed.\n")
    before = counts(tenant)
    assert before[:-2] == (0,) * (len(MODELS) - 2)
    done = apply(DEMO_DOCUMENTS)
    assert (done.code, done.out.splitlines()[-1]) == (0, "13 documents, 13 changed.")
    assert all(line.startswith("+ ") for line in done.out.splitlines()[:-1])
    after = counts(tenant)
    again = apply(DEMO_DOCUMENTS)
    assert again.out.splitlines()[-1] == "13 documents, 0 changed."
    assert counts(tenant) == after


def test_the_documents_of_the_documentation(apply: Any, tenant: Tenant) -> None:
    done = apply(ISSUED)
    assert (done.code, done.err.count("warning: ")) == (0, 1)
    with unit_of_work(tenant.id):
        version = Policy.objects.select_related("in_force").get(slug="payments").in_force
        assert version is not None
        assert version.status == "published"
        assert Overlay.objects.get().scope_slug == "payment_run"
        assert Integration.objects.get().current_version.spec["auth"] == {  # type: ignore[union-attr]
            "scheme": "bearer",
            "secret": {"env": "BANK_TOKEN"},
        }


def test_a_plan_prints_the_difference_and_changes_nothing(apply: Any, tenant: Tenant) -> None:
    apply(ISSUED)
    before = counts(tenant)
    changed = ISSUED.replace("items: [Globex]", "items: [Globex, Hooli]").replace("1000000", "2000000")
    planned = apply(changed, "--plan")
    assert planned.code == 0
    assert "~ List sanctioned_vendors (changed)" in planned.out
    assert "    +- Hooli\n" in planned.out
    assert "    -  when: ctx.action == 'pay' && item.payload.amount_minor > 1000000\n" in planned.out
    assert "    +  when: ctx.action == 'pay' && item.payload.amount_minor > 2000000\n" in planned.out
    assert "~ Policy payments (changed)" in planned.out
    assert planned.out.endswith("6 documents, 2 would be changed.\n")
    assert counts(tenant) == before
    assert apply(changed).out.endswith("6 documents, 2 changed.\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Channel\nid: [", "documents.yaml:3:"),
        (
            "kind: Channel\nid: web\n---\nkind: Chanel\nid: mobile\n",
            "documents.yaml:4:1: /kind: 'Chanel' is no kind of document. Did you mean Channel?",
        ),
        ("kind: Channel\nid: Not A Slug\n", "documents.yaml:2:1: /id:"),
        (
            "kind: Channel\nid: web\n---\nkind: Channel\nid: web\n",
            "documents.yaml:4:1: document: Channel web is already defined at",
        ),
        ("kind: Integration\nid: x\nspec:\n  connector: http\n", "documents.yaml:3:1: /spec/base_url"),
        (
            "kind: Integration\nid: x\nspecs: {}\n",
            "documents.yaml:3:1: /specs: There is no field 'specs' here. Did you mean spec?",
        ),
        (
            ISSUED.replace("confidence < 0.8", "confidence <"),
            "{confidence <}:52: /spec/rules/2/when: ",
        ),
        (
            ISSUED.replace("reason: WITHIN_LIMITS}}", "reason: OTHER_REASON}}"),
            "{OTHER_REASON}:7: /spec/tests/0: The test expects",
        ),
        (
            ISSUED.replace("{workflow: payment_run}", "{workflow: nothing}"),
            "{workflow: nothing}:9: /scope/workflow: nothing names no workflow",
        ),
        (ISSUED.replace("policy: payments", "policy: nothing"), "{policy: nothing}:1: /policy: names no policy"),
        ("- 1\n- 2\n", "documents.yaml:1:1: /kind: '' is no kind of document. Use one of Role, Group,"),
        ("just text", "documents.yaml:1:1: /kind"),
        ("kind: Role\nid: r\nspec: {scopes: [everything]}\n", "documents.yaml:3:17: /spec/scopes/0"),
        ("kind: [Role]\nid: r\n", "documents.yaml:1:1: /kind"),
    ],
)
def test_errors_name_file_line_and_reason_and_nothing_is_done(apply: Any, tenant: Tenant, text: str, said: str) -> None:
    before = counts(tenant)
    ran = apply(text)
    assert ran.code == 1
    if said.startswith("{"):
        needle, rest = said[1:].split("}")
        said = f"documents.yaml:{text[: text.index(needle)].count(chr(10)) + 1}{rest}"
    assert said in ran.err, ran.err
    assert ran.out == ""
    assert counts(tenant) == before


def test_every_problem_is_named_at_once(apply: Any) -> None:
    text = "kind: Channel\nid: A B\n---\nkind: Nothing\nid: x\n---\nkind: Role\nid: r\nspec: {}\n"
    ran = apply(text)
    assert [f"documents.yaml:{line}:" in ran.err for line in (2, 4, 9)] == [True] * 3


def test_a_missing_path_is_refused(apply: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin.yaml").write_bytes(b"kind: \xff")
    for path, said in (
        (tmp_path / "empty", "There are no documents below"),
        (tmp_path / "missing.yaml", "cannot be read"),
        (tmp_path / "latin.yaml", "is not UTF-8"),
    ):
        ran = apply(path)
        assert (ran.code, said in ran.err) == (1, True)


def test_an_unknown_tenant_is_refused(tenant: Tenant, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call_command("apply", str(DEMO_DOCUMENTS), "--tenant", "nowhere")
    assert ended.value.code == 1
    assert "nowhere" in capsys.readouterr().err


def test_the_order_of_files_makes_no_difference(apply: Any, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    documents = ISSUED.split("---\n")
    for number, text in enumerate(reversed(documents)):
        (folder / f"{number}.yml").write_text(text)
    assert apply(folder).out.endswith("6 documents, 6 changed.\n")


def test_json_says_the_same(apply: Any, tmp_path: Path) -> None:
    folder = tmp_path / "json"
    folder.mkdir()
    for number, document in enumerate(yaml.safe_load_all(ISSUED)):
        (folder / f"{number}.json").write_text(json.dumps(document))
    assert apply(folder).out.endswith("6 documents, 6 changed.\n")
    assert apply(ISSUED).out.endswith("6 documents, 0 changed.\n")


@pytest.mark.parametrize("name", ["words.json", "words.yaml"])
def test_every_character_is_kept(apply: Any, tenant: Tenant, name: str) -> None:
    words = ["\U0001f600", "\u2028 \u2029 \x85", "back\\slash", "\ufeff", "e\u0301", "\U0010fffd"]
    text = json.dumps({"kind": "List", "id": "words", "spec": {"items": words}})
    assert "\\ud83d\\ude00" in text
    assert apply(text, name=name).code == 0
    with unit_of_work(tenant.id):
        assert List.objects.select_related("current_version").get().current_version.spec == words  # type: ignore[union-attr]


def test_a_lone_surrogate_is_refused(apply: Any) -> None:
    ran = apply('{"kind": "List", "id": "words", "spec": {"items": ["\\ud83d"]}}', name="words.json")
    assert ran.code == 1
    assert "words.json:1:" in ran.err


def test_documents_of_several_megabytes_are_read_within_seconds(apply: Any, tenant: Tenant) -> None:
    items = [f"vendor {number} {'x' * 400}" for number in range(9000)]
    text = "kind: List\nid: many\nspec:\n  items:\n" + "".join(f"    - {item}\n" for item in items)
    assert len(text) > 3_000_000
    began = time.process_time()
    assert apply(text).code == 0
    assert time.process_time() - began < 30
    with unit_of_work(tenant.id):
        assert len(List.objects.select_related("current_version").get().current_version.spec) == len(items)  # type: ignore[union-attr]
    assert apply(text.replace("vendor 8999 ", "vendor last "), "--plan").out.count("vendor last") == 1


def test_a_role_is_set_to_what_is_written(apply: Any, tenant: Tenant) -> None:
    role = "kind: Role\nid: desk\nspec: {scopes: ['workitems:read', 'workitems:write']}\n"
    assert "+ Role desk (created)" in apply(role).out
    assert "  Role desk (unchanged)" in apply(role).out
    fewer = apply(role.replace(", 'workitems:write'", ""))
    assert "~ Role desk (changed)" in fewer.out


def test_a_label_alone_is_a_change(apply: Any, tenant: Tenant) -> None:
    text = "kind: Integration\nid: desk\nname: Desk\nspec: {connector: workflow, actions: {close: {}}}\n"
    apply(text)
    assert "~ Integration desk (changed)" in apply(text.replace("name: Desk", "name: Front desk")).out
    with unit_of_work(tenant.id):
        assert Integration.objects.get().name == "Front desk"
        assert IntegrationVersion.objects.count() == 1


def test_a_group_is_set_to_what_is_written(apply: Any, tenant: Tenant) -> None:
    make_principal(tenant, "ann")
    make_principal(tenant, "bob")
    group = "kind: Group\nid: board\nname: The board\nspec: {members: [bob, ann]}\n"
    assert "+ Group board (created)" in apply(group).out
    assert "  Group board (unchanged)" in apply(group).out
    fewer = apply(group.replace("bob, ", ""))
    assert "~ Group board (changed)" in fewer.out
    assert apply(group.replace("bob, ", ""), "--plan").out.count("unchanged") == 1
    with unit_of_work(tenant.id):
        assert group_member_names("board", tenant_id=tenant.id) == ["ann"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "kind: Group\nid: g\nspec:\n  members:\n    - ann\n    - zoe\n",
            "documents.yaml:6:7: /spec/members/1: 'zoe' is no",
        ),
        ("kind: Group\nid: g\nspec: {members: ann}\n", "documents.yaml:3:8: /spec/members: List the names"),
        (
            "kind: Group\nid: g\nspec: {member: [ann]}\n",
            "documents.yaml:3:8: /spec/member: There is no field 'member' here. Did you mean members?",
        ),
        ("kind: Group\nid: g\nname: 5\nspec: {members: []}\n", "documents.yaml:3:1: /name: name is text"),
    ],
)
def test_a_group_that_cannot_be_is_refused_by_line(apply: Any, tenant: Tenant, text: str, said: str) -> None:
    make_principal(tenant, "ann")
    ran = apply(text)
    assert ran.code == 1
    assert said in ran.err
    with unit_of_work(tenant.id):
        assert group_member_names("g", tenant_id=tenant.id) is None


def test_a_calendar_is_applied(apply: Any, tenant: Tenant) -> None:
    calendar = 'kind: Calendar\nid: office\nspec:\n  time_zone: UTC\n  hours: {monday: ["09:00-17:00"]}\n'
    assert "+ Calendar office (created)" in apply(calendar).out
    assert "  Calendar office (unchanged)" in apply(calendar).out
    changed = apply(calendar.replace("UTC", "Europe/Paris"))
    assert "~ Calendar office (changed)" in changed.out
    assert "documents.yaml:4:3: /spec/time_zone" in apply(calendar.replace("UTC", "Mars/Base")).err
    two = apply(f"{calendar}---\n{calendar.replace('office', 'shop')}")
    assert "Calendar of the tenant is already defined at" in two.err


STAGED = """\
kind: Policy
id: staged
spec:
  rules:
    - id: large
      when: "true"
      effect: require_approval
      reason: LARGE
      approvals:
        stages:
          - {role: finance, count: 0}
          - any:
              - rolle: cfo
              - {user: ann, count: 2}
        exclude: [requester, polcy_author]
        veto: none
"""


def test_every_problem_of_an_approval_rule_is_named_by_line_and_column(apply: Any, tenant: Tenant) -> None:
    ran = apply(STAGED)
    assert ran.code == 1
    said = [line.partition("documents.yaml:")[2] for line in ran.err.splitlines()[1:]]
    at = "/spec/rules/0/approvals"
    assert said == [
        f"11:29: {at}/stages/0/count: count must be a whole number from 1 to 100.",
        f"13:17: {at}/stages/1/any/0/rolle: There is no field 'rolle' here. Did you mean role?",
        f"14:29: {at}/stages/1/any/1/count: A single user counts once. Leave count out.",
        f"15:30: {at}/exclude/1: 'polcy_author' is no exclusion. Did you mean policy_author?",
        f"16:9: {at}/veto: veto must be a whole number from 1 to 100.",
    ]
