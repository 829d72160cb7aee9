"""Packs: complete installation, upgrade, detection of later changes, and removal of unused documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from django.core.management import call_command

from policies.deciding.decide import decide
from policies.documents.pack import parse_pack
from policies.models import Channel, Overlay, Pack, PackMember, PackVersion, Policy, Workflow
from telemetry.models import Receipt
from tests.client import Api
from tests.console.sign_in import confirm, sign_in
from tests.factories import acting, make_principal, make_token
from tests.policies.rulebooks import asking, rule, spec
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Tenant

CHANNEL = {"kind": "Channel", "id": "portal"}
WORKFLOW: dict[str, Any] = {
    "kind": "Workflow",
    "id": "payment_run",
    "spec": {"payload_schema": {"type": "object", "properties": {"amount_minor": {"type": "integer"}}}},
}
OTHER_WORKFLOW = {"kind": "Workflow", "id": "leave", "spec": {"payload_schema": {"type": "object", "properties": {}}}}
POLICY: dict[str, Any] = {
    "kind": "Policy",
    "id": "payments",
    "spec": spec(rule("large", "deny", "item.payload.amount_minor > 1000"), rule("rest", "allow")),
}
OVERLAY = {"kind": "Overlay", "policy": "payments", "scope": {"pack": "payments"}}
CONTENTS = (CHANNEL, WORKFLOW, POLICY, OVERLAY)


def pack(version: str = "1.0.0", *documents: dict[str, Any], name: str = "payments") -> dict[str, Any]:
    held = list(documents or CONTENTS)
    return {"kind": "Pack", "id": name, "spec": {"name": "Payments", "version": version, "documents": held}}


@pytest.fixture
def ada(tenant: Tenant) -> ActingContext:
    return acting(tenant, make_principal(tenant, "ada", roles=["tenant_admin"]))


@pytest.fixture
def admin(tenant: Tenant, ada: ActingContext) -> Api:
    return Api(make_token(tenant, make_principal(tenant, "ada", roles=["tenant_admin"])))


def there(tenant: Tenant) -> dict[str, list[str]]:
    with unit_of_work(tenant.id):
        return {
            "channels": sorted(Channel.objects.values_list("slug", flat=True)),
            "workflows": sorted(Workflow.objects.filter(current_version__isnull=False).values_list("slug", flat=True)),
            "policies": sorted(Policy.objects.filter(in_force__isnull=False).values_list("slug", flat=True)),
            "overlays": sorted(str(overlay) for overlay in Overlay.objects.select_related("policy")),
            "members": sorted(f"{row.kind} {row.name}" for row in PackMember.objects.all()),
        }


ALL_THERE = {
    "channels": ["portal"],
    "workflows": ["payment_run"],
    "policies": ["payments"],
    "overlays": ["payments on pack payments"],
    "members": ["Channel portal", "Overlay payments on pack payments", "Policy payments", "Workflow payment_run"],
}
NOTHING: dict[str, list[str]] = {name: [] for name in ALL_THERE}


def receipts(tenant: Tenant) -> list[str]:
    with unit_of_work(tenant.id):
        return list(Receipt.objects.order_by("id").values_list("kind", flat=True))


def test_a_pack_is_installed_whole(admin: Api, tenant: Tenant) -> None:
    answer = admin.post("/packs", {"document": pack(), "revision": "4f9c1f4"})
    assert answer.status_code == 201, answer.json()
    body = answer.json()
    assert (body["pack_id"], body["version"], body["number"], body["revision"]) == ("payments", "1.0.0", 1, "4f9c1f4")
    assert body["created"] == [
        "Pack payments",
        "Channel portal",
        "Workflow payment_run",
        "Policy payments",
        "Overlay payments on pack payments",
    ]
    assert (body["changed"], body["removed"]) == ([], [])
    assert there(tenant) == ALL_THERE
    assert receipts(tenant)[-6:] == [
        "pack.installed", "channel.created", "workflow.version_added", "policy.version_drafted", "policy.published",
        "overlay.added", "configuration.applied",
    ][-6:]  # fmt: skip
    again = admin.post("/packs", {"document": pack()})
    assert (again.status_code, again.json()["number"], again.json()["created"]) == (200, 1, [])
    read = admin.get("/packs/payments").json()
    assert [f"{row['kind']} {row['name']}" for row in read["members"]] == ALL_THERE["members"]
    assert read["spec"] == pack()["spec"]


def test_a_pack_scope_reaches_the_packs_workflows_alone(admin: Api, ada: ActingContext, tenant: Tenant) -> None:
    """Its policy is checked against their payloads, not against those of other workflows, and decides there."""
    admin.post("/workflows", {"workflow_id": "leave", "spec": OTHER_WORKFLOW["spec"]})
    assert admin.post("/packs", {"document": pack()}).status_code == 201
    with unit_of_work(tenant.id):
        denied = decide(asking(payload={"amount_minor": 5000}, channel=""), ctx=ada)
        other = decide(asking(workflow="leave", payload={}, channel=""), ctx=ada)
    assert (denied.outcome, denied.reason_codes) == ("deny", ["LARGE"])
    assert (denied.versions[0]["scope"], denied.versions[0]["on"]) == ("pack", ["payments"])
    assert other.reason_codes == ["policy_missing"]
    rules = admin.get("/policies/effective", {"workflow_id": "payment_run"}).json()["rules"]
    assert [(entry["rule_id"], entry["origin"]["scope"]) for entry in rules] == [
        ("large", {"pack": "payments"}),
        ("rest", {"pack": "payments"}),
    ]
    assert admin.get("/policies/effective", {"workflow_id": "leave"}).json()["rules"] == []


def test_an_upgrade_changes_what_differs_and_takes_out_what_is_dropped(admin: Api, tenant: Tenant) -> None:
    admin.post("/packs", {"document": pack()})
    larger = {**POLICY, "spec": spec(rule("large", "deny", "item.payload.amount_minor > 2000"), rule("rest", "allow"))}
    answer = admin.post("/packs", {"document": pack("1.1.0", WORKFLOW, larger, OVERLAY)})
    body = answer.json()
    assert (answer.status_code, body["version"], body["number"]) == (200, "1.1.0", 2)
    assert (body["created"], body["changed"], body["removed"]) == (
        [],
        ["Pack payments", "Policy payments"],
        ["Channel portal"],
    )
    assert there(tenant)["channels"] == []
    versions = admin.get("/packs/payments/versions").json()["data"]
    assert [(row["number"], row["version"]) for row in versions] == [(2, "1.1.0"), (1, "1.0.0")]
    back = admin.post("/packs", {"document": pack()}).json()
    assert (back["number"], back["version"], back["created"]) == (3, "1.0.0", ["Channel portal"])


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (pack("1.0.0", CHANNEL), "/spec/version"),
        (pack("2.0.0", CHANNEL, CHANNEL), "/spec/documents/1"),
        (pack("2.0.0", {"kind": "Role", "id": "boss", "spec": {"scopes": []}}), "/spec/documents/0/kind"),
        (pack("2.0.0", {"kind": "Pack", "id": "inner"}), "/spec/documents/0/kind"),
        (pack("2.0.0", {"kind": "Channel"}), "/spec/documents/0/id"),
        (pack("2.0.0", {**OVERLAY, "scope": {"team": "x"}}), "/spec/documents/0/scope/team"),
        (
            pack("2.0.0", {**POLICY, "spec": {"rules": [rule("aa", "deny", "1 +")]}}),
            "/spec/documents/0/spec/rules/0/when",
        ),
        ({"kind": "Pack", "id": "payments", "spec": {"version": "2"}}, "/spec/documents"),
        ({"kind": "Pack", "id": "payments", "spec": {"version": 2, "documents": [CHANNEL]}}, "/spec/version"),
        ({"kind": "Channel", "id": "payments"}, "/kind"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_installed(
    admin: Api, tenant: Tenant, document: dict[str, Any], named: str
) -> None:
    admin.post("/packs", {"document": pack()})
    before = receipts(tenant)
    answer = admin.post("/packs", {"document": document})
    assert (answer.status_code, answer.json()["reason_code"]) == (422, "document_invalid")
    assert named in [entry["pointer"] for entry in answer.json()["errors"]]
    assert there(tenant) == ALL_THERE
    assert receipts(tenant) == [*before, "request.refused"]


def test_what_belongs_to_another_pack_is_refused(admin: Api, tenant: Tenant) -> None:
    admin.post("/packs", {"document": pack()})
    answer = admin.post("/packs", {"document": pack("1", CHANNEL, name="other")})
    assert answer.status_code == 422
    assert "Channel portal belongs to the pack payments." in answer.json()["errors"][0]["detail"]
    with unit_of_work(tenant.id):
        assert list(Pack.objects.values_list("slug", flat=True)) == ["payments"]


def test_a_pack_is_taken_out_while_nothing_uses_it(admin: Api, tenant: Tenant) -> None:
    admin.post("/packs", {"document": pack()})
    assert admin.send("DELETE", "/packs/payments").status_code == 204
    assert there(tenant) == NOTHING
    assert receipts(tenant)[-5:] == [
        "overlay.removed", "policy.retired", "workflow.withdrawn", "channel.removed", "pack.removed",
    ]  # fmt: skip
    assert admin.get("/packs/payments").status_code == 404
    assert admin.get("/packs").json()["data"] == []
    back = admin.post("/packs", {"document": pack()})
    assert (back.status_code, back.json()["number"]) == (201, 2)
    assert there(tenant) == ALL_THERE
    with unit_of_work(tenant.id):
        assert PackVersion.objects.count() == 2


def test_a_pack_in_use_is_not_taken_out_and_its_users_are_named(admin: Api, tenant: Tenant) -> None:
    admin.post("/packs", {"document": pack()})
    item = admin.post(
        "/work-items", {"workflow_id": "payment_run", "channel_id": "portal", "payload": {"amount_minor": 5}}
    ).json()
    version = admin.post("/policies", {"policy_id": "mine", "document": spec(rule("yes", "allow"))}).json()
    admin.post(f"/policies/mine/versions/{version['policy_version_id']}/publish", {})
    for scope in ({"pack": "payments"}, {"channel": "portal"}):
        assert admin.post("/overlays", {"policy_id": "mine", "scope": scope}).status_code == 201
    assert admin.post("/overlays", {"policy_id": "payments", "scope": {"workflow": "payment_run"}}).status_code == 201
    before = receipts(tenant)
    answer = admin.send("DELETE", "/packs/payments")
    assert (answer.status_code, answer.json()["reason_code"]) == (409, "in_use")
    said = [entry["detail"] for entry in answer.json()["errors"]]
    assert said == [
        "Policy payments: the policy payments is bound to workflow payment_run",
        f"Workflow payment_run: {item['work_item_id']} is new",
        f"Channel portal: {item['work_item_id']} is new",
    ]
    assert receipts(tenant) == [*before, "request.refused"]
    kept = there(tenant)
    assert (kept["members"], kept["policies"]) == (ALL_THERE["members"], ["mine", "payments"])


def test_an_overlay_on_a_pack_that_is_not_there_is_refused(admin: Api) -> None:
    admin.post("/packs", {"document": pack()})
    answer = admin.post("/overlays", {"policy_id": "payments", "scope": {"pack": "other"}})
    assert (answer.status_code, answer.json()["reason_code"]) == (422, "unknown_pack")


def test_export_contains_a_pack_once_and_later_changes_separately(
    admin: Api, tenant: Tenant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    admin.post("/packs", {"document": pack()})

    def exported(name: str) -> list[str]:
        call_command("export_config", str(tmp_path / name), "--tenant", tenant.slug)
        capsys.readouterr()
        return sorted(str(file.relative_to(tmp_path / name)) for file in (tmp_path / name).rglob("*.yaml"))

    assert exported("fresh") == ["packs/payments.yaml"]
    changed = spec(rule("large", "deny", "item.payload.amount_minor > 9"), rule("rest", "allow"))
    version = admin.post("/policies/payments/versions", {"document": changed}).json()["policy_version_id"]
    admin.post(f"/policies/payments/versions/{version}/publish", {})
    assert exported("changed") == ["packs/payments.yaml", "policies/payments.yaml"]
    for folder in ("changed", "changed"):
        call_command("apply", str(tmp_path / folder), "--tenant", tenant.slug, "--prune")
        assert capsys.readouterr().out.splitlines()[-1] == "5 documents, 0 changed."
    call_command("apply", str(tmp_path / "fresh"), "--tenant", tenant.slug)
    said = capsys.readouterr().out
    assert "~ Policy payments (changed)" in said
    assert said.splitlines()[-1] == "5 documents, 1 changed."


def test_command_installs_lists_and_removes_packs(
    tenant: Tenant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder with the head in one file and the contents in others."""
    folder = tmp_path / "payments"
    folder.mkdir()
    (folder / "pack.yaml").write_text("kind: Pack\nid: payments\nspec: {name: Payments, version: '1.0.0'}\n")
    for number, document in enumerate(CONTENTS):
        (folder / f"{number}.yaml").write_text(yaml.safe_dump(document))

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            call_command("pack", *arguments, "--tenant", tenant.slug)
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    assert run("install", str(folder), "--plan")[1].splitlines()[-1] == "5 would be changed."
    assert there(tenant) == NOTHING
    assert run("install", str(folder))[1].splitlines()[-1] == "5 changed."
    assert there(tenant) == ALL_THERE
    assert run("list") == (0, "payments 1.0.0\n", "")
    (folder / "more.yaml").write_text("kind: Channel\nid: more\nspec: {nme: x}\n")
    code, _, said = run("install", str(folder))
    assert (code, "There is no field 'nme' here. Did you mean name?" in said) == (1, True)
    code, out, _ = run("remove", "payments")
    assert (code, out.splitlines()[0]) == (0, "- Overlay payments on pack payments (removed)")
    assert there(tenant) == NOTHING
    assert run("remove", "payments")[0] == 1


def test_a_member_of_the_tenant_needs_the_right_to_install(tenant: Tenant, ada: ActingContext) -> None:
    reader = Api(make_token(tenant, make_principal(tenant, "rita", roles=["viewer"])))
    assert reader.post("/packs", {"document": pack()}).status_code == 403
    assert there(tenant) == NOTHING


def test_console_installs_upgrades_and_removes_a_pack(tenant: Tenant, admin: Api) -> None:
    browser = sign_in(make_principal(tenant, "ada", roles=["tenant_admin"]))
    wrong = browser.post("/console/policies/pack/new/", {"document": "kind: Pack\nid: payments\nspec: {}\n"})
    assert wrong.status_code == 422
    made = browser.post("/console/policies/pack/new/", {"document": orjson.dumps(pack()).decode()})
    assert made.status_code == 302
    page = browser.get(made["Location"])
    assert "payments on pack payments" in page.content.decode()
    upgraded = pack("1.1.0", WORKFLOW, POLICY, OVERLAY)
    browser.post("/console/policies/pack/payments/upgrade/", {"document": orjson.dumps(upgraded).decode()})
    assert "1.1.0" in browser.get("/console/policies/pack/").content.decode()
    confirm(browser, "/console/policies/pack/payments/remove/")
    assert there(tenant) == NOTHING


def test_members_are_named_as_plans_name_them() -> None:
    document = parse_pack(pack())
    assert document.members == (
        ("Channel", "portal"),
        ("Workflow", "payment_run"),
        ("Policy", "payments"),
        ("Overlay", "payments on pack payments"),
    )
    with pytest.raises(errors.DocumentInvalid):
        parse_pack([])
