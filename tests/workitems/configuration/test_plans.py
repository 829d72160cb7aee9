"""`/configuration/plan` and `/configuration/apply`: bound plans, permissions, four eyes. Also `apply --exit-code`."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from policies.configuration.channels import upsert_channel
from policies.models import Channel
from telemetry.models import Receipt
from tests.client import Api
from tests.factories import acting_system, make_principal, make_tenant, make_token
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.identity.roles import define_role
from threada_site.kernel import clock
from threada_site.kernel.context import EntryPoint, Scope
from threada_site.kernel.documents.reader import load_documents
from threada_site.tenancy.authority_models import ChangeSet
from threada_site.tenancy.models import Role, Tenant
from workitems.configuration import drift
from workitems.configuration.drift import INTERVAL, check_drift
from workitems.configuration.plans import plan_documents
from workitems.metrics import drift_metrics
from workitems.models import ConfigurationBaseline

PORTAL = "kind: Channel\nid: portal\nspec: {name: Portal}\n"
RULES = 'kind: Policy\nid: rules\nspec:\n  rules: [{id: rest, when: "true", effect: allow, reason: REST}]\n'
ROLE = "kind: Role\nid: king\nspec: {scopes: [workflow:manage]}\n"


def files(*texts: str) -> list[dict[str, str]]:
    return [{"path": f"{number}.yaml", "text": text} for number, text in enumerate(texts)]


def service(tenant: Tenant, *scopes: Scope) -> Api:
    """Return a client of a service whose role has exactly these scopes."""
    with unit_of_work(tenant.id):
        define_role("deployer", frozenset(scopes), ctx=acting_system(tenant))
    return Api(make_token(tenant, make_principal(tenant, "ci", kind="service", roles=("deployer",))))


@pytest.fixture
def steward(tenant: Tenant) -> Api:
    return Api(make_token(tenant, make_principal(tenant, "stella", roles=("tenant_admin",))))


def plan(api: Api, *texts: str, **options: Any) -> Any:
    return api.post("/configuration/plan", {"files": files(*texts), **options})


def apply(api: Api, digest: str, *texts: str, **options: Any) -> Any:
    return api.post("/configuration/apply", {"files": files(*texts), "digest": digest, **options})


def receipts(tenant: Tenant) -> int:
    with unit_of_work(tenant.id):
        return Receipt.objects.exclude(kind__startswith="request").count()


def test_a_plan_changes_nothing_and_is_applied_as_it_was_shown(steward: Api, tenant: Tenant) -> None:
    before = receipts(tenant)
    shown = plan(steward, PORTAL).json()
    assert (shown["has_changes"], shown["needs_confirmation"], shown["documents"]) == (True, False, 1)
    assert shown["changes"] == [{"kind": "Channel", "name": "portal", "change": "created", "difference": ""}]
    assert receipts(tenant) == before
    other = apply(steward, shown["digest"], PORTAL.replace("Portal", "Other"))
    assert (other.status_code, other.json()["reason_code"]) == (409, "plan_stale")
    assert apply(steward, shown["digest"], PORTAL, prune=True).json()["reason_code"] == "plan_stale"
    done = apply(steward, shown["digest"], PORTAL, revision="4f1c2d3")
    assert (done.status_code, done.json()["changes"]) == (200, shown["changes"])
    assert apply(steward, shown["digest"], PORTAL).json()["reason_code"] == "plan_stale"
    again = plan(steward, PORTAL).json()
    assert (again["has_changes"], again["changes"]) == (False, [])
    changed = plan(steward, PORTAL.replace("Portal", "Doors")).json()
    assert "+name: Doors" in changed["changes"][0]["difference"]
    steward.post("/channels", {"channel_id": "elsewhere"})
    late = apply(steward, changed["digest"], PORTAL.replace("Portal", "Doors"))
    assert late.json()["reason_code"] == "plan_stale"
    with unit_of_work(tenant.id):
        assert Channel.objects.get(slug="portal").name == "Portal"


def test_nobody_gets_more_than_elsewhere(steward: Api, tenant: Tenant) -> None:
    without = service(tenant, Scope.WORKFLOW_MANAGE)
    assert plan(without, PORTAL).json()["reason_code"] == "scope_missing"
    for scopes, text, is_allowed in (
        ((), PORTAL, False),
        ((Scope.WORKFLOW_MANAGE,), PORTAL, True),
        ((Scope.POLICIES_PUBLISH,), RULES, False),
        ((Scope.POLICIES_PUBLISH, Scope.POLICIES_WRITE), RULES, True),
        ((Scope.WORKFLOW_MANAGE,), ROLE, False),
        ((Scope.WORKFLOW_MANAGE,), _packed(ROLE_DOCUMENT), False),
    ):
        tenant_of = make_tenant(f"t{len(text)}-{len(scopes)}-{is_allowed}".lower())
        api = service(tenant_of, Scope.CONFIGURATION_WRITE, *scopes)
        for answer in (plan(api, text), apply(api, "0" * 64, text)):
            refused = answer.status_code == 403
            assert refused is not is_allowed, (scopes, text, answer.json())
            if refused:
                assert answer.json()["reason_code"] == "permission_denied"
        with unit_of_work(tenant_of.id):
            assert not Role.objects.filter(slug="king").exists()


ROLE_DOCUMENT = {"kind": "Role", "id": "king", "spec": {"scopes": ["workflow:manage"]}}


def _packed(document: dict[str, Any]) -> str:
    return json.dumps({"kind": "Pack", "id": "p", "spec": {"version": "1", "documents": [document]}})


def test_pruning_and_names_are_limited_to_kinds_that_one_may_manage(steward: Api, tenant: Tenant) -> None:
    steward.post("/channels", {"channel_id": "kept"})
    api = service(tenant, Scope.CONFIGURATION_WRITE, Scope.POLICIES_PUBLISH, Scope.POLICIES_WRITE)
    assert plan(api, RULES).json()["left"] == []
    assert [entry["change"] for entry in plan(api, RULES, prune=True).json()["changes"]] == ["created"]
    assert {entry["name"] for entry in plan(steward, RULES).json()["left"]} >= {"kept"}


@pytest.mark.parametrize(("rule", "texts"), [("policy_four_eyes", (PORTAL, RULES)), ("identity_four_eyes", (ROLE,))])
def test_four_eyes_make_one_change_set(steward: Api, tenant: Tenant, rule: str, texts: tuple[str, ...]) -> None:
    with unit_of_work(tenant.id):
        turn_on_four_eyes(rule, ctx=acting_system(tenant))
    shown = plan(steward, *texts).json()
    assert shown["needs_confirmation"] is True
    done = apply(steward, shown["digest"], *texts)
    assert (done.status_code, done.json()["rule"]) == (202, rule)
    with unit_of_work(tenant.id):
        assert not Channel.objects.exists()
        assert not Role.objects.filter(slug="king").exists()
        assert ChangeSet.objects.get().operation == "apply"
    assert steward.post(
        f"/change-sets/{done.json()['change_set_id']}/publish", {"digest": done.json()["digest"]}
    ).json()["reason_code"] in ("second_person_required", "person_required")


def test_exit_status_and_json_of_the_command(
    tenant: Tenant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(PORTAL)

    def run(*options: str) -> tuple[int, str, str]:
        try:
            call_command("apply", str(file), "--tenant", tenant.slug, *options)
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    assert run("--exit-code")[0] == 1
    status, out, _ = run("--plan", "--exit-code", "--json")
    assert (status, json.loads(out)["has_changes"]) == (2, True)
    assert run("--plan")[0] == 0
    assert json.loads(run("--json")[1])["changes"][0]["change"] == "created"
    status, out, _ = run("--plan", "--exit-code", "--json")
    assert (status, json.loads(out)["changes"]) == (0, [])
    file.write_text(RULES)
    assert run("--plan", "--strict")[0] == 1
    status, out, err = run("--plan", "--exit-code", "--json")
    assert (status, err) == (2, "")
    assert json.loads(out)["warnings"][0]["code"] == "policy_not_bound"
    file.write_text("kind: Channel\nid:\tportal\n\tx: 1\n")
    status, out, err = run("--plan", "--exit-code", "--json")
    assert status == 1
    assert err.splitlines() == [json.loads(out)["errors"][0]["detail"]]


def test_the_documents_of_the_documentation_are_valid(tenant: Tenant, settings: Any) -> None:
    settings.THREADA_PUBLIC_URL = "https://threada.example"
    page = (Path(settings.THREADA_BASE_DIR) / "docs" / "how-to" / "policies-as-code.md").read_text()
    [text] = (block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if block.startswith("kind: "))
    make_principal(tenant, "deployer", kind="service", roles=())
    with unit_of_work(tenant.id):
        ctx = acting_system(tenant, EntryPoint.COMMAND)
        assert len(plan_documents(load_documents(text, source="page"), ctx=ctx).outcome.changes) == 2


def test_what_changes_after_an_application_from_files_is_drift(steward: Api, tenant: Tenant) -> None:
    def drifted() -> tuple[int, list[str]]:
        with platform_role():
            ConfigurationBaseline.objects.update(checked_at=clock.now() - INTERVAL)
        check_drift(now=clock.now())
        with platform_role():
            (metric,) = drift_metrics()
            return int(metric.value), ConfigurationBaseline.objects.get().drifted

    apply(steward, plan(steward, PORTAL).json()["digest"], PORTAL)
    steward.post("/channels", {"channel_id": "other"})
    assert drifted() == (0, [])
    with unit_of_work(tenant.id):
        upsert_channel("portal", name="Doors", ctx=acting_system(tenant))
    assert drifted() == (1, ["Channel portal"])
    apply(steward, plan(steward, PORTAL, prune=True).json()["digest"], PORTAL, prune=True)
    assert drifted() == (0, [])
    steward.post("/channels", {"channel_id": "third"})
    assert drifted() == (1, ["Channel third"])


def test_errors_of_many_documents_are_bounded(steward: Api) -> None:
    """Each error was compared with all others, which took minutes for a body of some hundred kilobytes."""
    scopes = ", ".join(["nonsense"] * 101)
    refused = plan(steward, *(f"kind: Role\nid: r{number}\nspec: {{scopes: [{scopes}]}}\n" for number in range(100)))
    found = refused.json()["errors"]
    assert (refused.status_code, len(found), found[-1]["code"]) == (422, 501, "too_many")
    assert "more than 500 errors" in found[-1]["detail"]


def test_a_chain_of_overriding_policies_is_no_internal_error(steward: Api) -> None:
    one = "kind: Policy\nid: p{}\nspec:\n  rules: [{{id: r, overrides: [p{}/r]}}]\n"
    refused = plan(steward, *(one.format(number, number + 1) for number in range(990)))
    assert (refused.status_code, refused.json()["reason_code"]) == (422, "document_invalid")


def test_documents_of_another_form_are_no_internal_error(steward: Api) -> None:
    """Also after a document that failed, whose consequences are looked for in all others."""
    rules = RULES.replace("{id: rest", "{id: rest, overrides: 5")
    refused = plan(steward, "kind: Channel\nid: UPPER\n", rules, "kind: Grant\nid: ci\nspec: {workflows: 5}\n")
    assert refused.status_code == 422, refused.json()
    said = " ".join(entry["detail"] for entry in refused.json()["errors"])
    assert all(f"{number}.yaml:" in said for number in range(3)), said


def test_the_tenant_that_was_checked_longest_ago_is_first(
    tenant: Tenant, other_tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    for hours, of in enumerate((tenant, other_tenant), start=1):
        with unit_of_work(of.id):
            ConfigurationBaseline.objects.create(tenant=of, checked_at=now - timedelta(hours=hours))
    asked: list[Tenant] = []
    monkeypatch.setattr(drift, "_check", lambda of, **_: asked.append(of))
    assert check_drift(now=now) == 2
    assert asked == [other_tenant, tenant]
