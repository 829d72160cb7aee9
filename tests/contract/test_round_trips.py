"""PUT and PATCH take what GET returns, without a change if nothing differs; what is created has an address and an end."""

from __future__ import annotations

import re
from typing import Final

import pytest
from pytest_django import Settings

from tests.client import Api
from tests.contract.document import Operation, operations
from tests.contract.world import MAY_GROW, World, made, rows_of_everything
from tests.factories import make_principal, make_token
from threada_site.kernel.context import Scope
from threada_site.tenancy.models import Tenant

OPERATIONS: Final = {(one.method, one.path): one for one in operations()}
EDITED: Final = sorted(
    {path for method, path in OPERATIONS if method in ("PUT", "PATCH")} - {"/work-items/{work_item_id}/watch"}
)
# Members that PATCH of these resources does not take.
PATCHED: Final = {
    "/work-items/{work_item_id}": ("payload", "metadata"),
    "/work-items/{work_item_id}/comments/{comment_id}": ("text",),
    "/me/notification-preferences": (),
}
# PUT of these takes a part of what GET returns.
PUT: Final = {"grants": ("scopes",)}
CREATED: Final = ("workflow", "channel", "integration")
ENDS: Final = ("revoke", "cancel", "withdraw", "end", "lift", "remove", "retire", "reject")
# Records of what happened, and objects that end at another address.
WITHOUT_END: Final = {
    "/retention-runs": "a later dry run supersedes it",
    "/work-items/batch": "creates work items",
    "/attachments": "files that nothing uses are removed by a job, others with their work item",
    "/decision-steps/batch-votes": "votes are records",
    "/decision-steps/{decision_step_id}/votes": "votes are records",
    "/decision-steps/{decision_step_id}/changes": "the new step ends like any other",
    "/workflows/{workflow_id}/versions": "versions are withdrawn with the workflow",
    "/policies/{policy_id}/versions/{version}/shadow": "ends at /policy-shadows/{policy_shadow_id}/end",
}


@pytest.mark.django_db
@pytest.mark.usefixtures("step_up")
def test_what_is_read_can_be_written_back(world: World, settings: Settings) -> None:
    settings.THREADA_PUBLIC_URL = "https://threada.example"
    admin, names = world.home.admin, world.home.ids
    before = rows_of_everything()
    for path in EDITED:
        address = path.format(**names)
        for method in ("PUT", "PATCH"):
            if (method, path) not in OPERATIONS:
                continue
            read = admin.get(address)
            body = read.json()
            members = PATCHED.get(path) if method == "PATCH" else PUT.get(path.split("/")[-2])
            sent = body if members is None else {name: body[name] for name in members}
            assert admin.send(method, address, sent).json()["reason_code"] == "precondition_required", (method, path)
            stale = admin.send(method, address, sent, headers={"If-Match": '"stale"'})
            assert stale.json()["reason_code"] == "precondition_failed", (method, path)
            written = admin.send(method, address, sent, headers={"If-Match": read["ETag"]})
            assert written.status_code == 200, (method, path, written.content)
            again = admin.get(address)
            assert (again.json(), again["ETag"]) == (body, read["ETag"]), (method, path)
            assert admin.get(address, headers={"If-None-Match": read["ETag"]}).status_code == 304
    after = rows_of_everything(but=MAY_GROW | {"tenancy_documentsource"})  # texts as they were sent
    assert {table for table in after if after[table] != before[table]} == set()


@pytest.mark.django_db
def test_documents_are_created_changed_and_ended_by_their_address(world: World) -> None:
    admin, names = world.home.admin, world.home.ids
    for kind in CREATED:
        source = made(admin.get(f"/{kind}s/{names[f'{kind}_id']}"))
        address = f"/{kind}s/{names[f'{kind}_id']}-copy"
        body = {name: source[name] for name in ("name", "spec") if name in source}
        assert admin.put(address, body).status_code == 404
        assert admin.put(address, body, headers={"If-Match": "*"}).status_code == 412
        created = admin.put(address, body, headers={"If-None-Match": "*"})
        assert (created.status_code, created["Location"]) == (201, address), created.content
        assert admin.put(address, body, headers={"If-None-Match": "*"}).status_code == 412
        renamed = admin.patch(address, {"name": "Copy"}, headers={"If-Match": created["ETag"]})
        assert renamed.json() == {**created.json(), "name": "Copy"} == admin.get(address).json()
        refused = admin.edit(address, {"created_at": "2026-01-01T00:00:00Z"})
        assert [error["code"] for error in refused.json()["errors"]] == ["read_only"]
        assert admin.delete(address).status_code == 204
        assert (admin.get(address).status_code, admin.delete(address).status_code) == (404, 404)
    bank = f"/integrations/{names['integration_id']}"
    assert admin.edit(bank, {"name": "House bank"}).json()["name"] == "House bank"
    spec = admin.get(bank).json()["spec"]
    assert admin.replace(bank, {"spec": spec}).json()["name"] is None
    assert made(admin.post("/integrations", {"integration_id": names["integration_id"], "spec": spec, "name": "B"}))
    assert made(admin.post("/integrations", {"integration_id": names["integration_id"], "spec": spec}))["name"] == "B"
    assert admin.edit(bank, {"name": None}).json()["name"] is None
    merged = admin.edit(f"/workflows/{names['workflow_id']}", {"spec": {"title": "Sent", "actions": ["close"]}})
    assert (merged.json()["spec"]["title"], merged.json()["spec"]["actions"]) == ("Sent", ["close"])
    removed = admin.edit(f"/workflows/{names['workflow_id']}", {"spec": {"title": None}})
    assert "title" not in removed.json()["spec"]
    item = f"/work-items/{names['work_item_id']}"
    edited = admin.edit(item, {"payload": {"more": {"a": 1, "b": 2}}}).json()["payload"]
    assert edited == {"of": "home", "more": {"a": 1, "b": 2}}
    assert admin.edit(item, {"payload": {"of": None, "more": {"a": None}}}).json()["payload"] == {"more": {"b": 2}}
    made(admin.post("/channels", {"channel_id": "unused"}))
    made(admin.post("/four-eyes", {"policy_four_eyes": True}))
    proposed = admin.edit(f"/workflows/{names['workflow_id']}", {"spec": {"title": "Two"}})
    assert (proposed.status_code, "title" in made(admin.get(f"/workflows/{names['workflow_id']}"))["spec"]) == (
        202,
        False,
    )
    assert admin.delete("/channels/unused").status_code == 202


@pytest.mark.django_db
def test_administered_documents_are_created_changed_and_ended_by_their_address(tenant: Tenant) -> None:
    person = make_principal(tenant, "ann", roles=("tenant_admin",))
    admin = Api(make_token(tenant, person))
    blind = Api(make_token(tenant, person, {scope.value for scope in Scope} - {Scope.WORKITEMS_READ}))
    for address, spec, patch, after in (
        ("/lists/more", {"items": ["a"]}, {"items": ["a", "b"]}, {"items": ["a", "b"]}),
        (
            "/roles/more",
            {"scopes": ["workitems:read"], "visibility": "own", "require_mfa": True},
            {"scopes": ["workitems:read", "workitems:write"], "visibility": None, "require_mfa": None},
            {"scopes": ["workitems:read", "workitems:write"], "visibility": "tenant"},
        ),
        ("/groups/more", {"members": ["ann"]}, {"members": []}, {"members": []}),
        (
            "/retention/more",
            {"data_class": "personal", "keep_payload": "P90D"},
            {"keep_payload": "P30D", "then": "archive"},
            {"data_class": "personal", "keep_payload": "P30D", "then": "archive"},
        ),
    ):
        created = admin.put(address, {"spec": spec}, headers={"If-None-Match": "*"})
        assert (created.status_code, created["Location"]) == (201, address), created.content
        assert admin.put(address, {"spec": spec}, headers={"If-None-Match": "*"}).status_code == 412
        edited = admin.patch(address, {"spec": patch}, headers={"If-Match": created["ETag"]})
        assert edited.json()["spec"] == after == admin.get(address).json()["spec"], edited.content
        assert admin.patch(address, {"spec": spec}, headers={"If-Match": created["ETag"]}).status_code == 412
        assert admin.patch(address, {"spec": {"more": 1}}, headers={"If-Match": edited["ETag"]}).status_code == 422
        assert blind.patch(address, {}, headers={"If-Match": "*"}).json()["reason_code"] == "permission_denied"
        assert admin.delete(address, headers={"If-Match": created["ETag"]}).status_code == 412
        assert admin.delete(address, headers={"If-Match": edited["ETag"]}).status_code == 204
        assert admin.patch(address, {}, headers={"If-Match": "*"}).status_code == 404
        made(admin.put(address, {"spec": spec}, headers={"If-None-Match": "*"}))
    named = admin.edit("/groups/more", {"name": "More"})
    assert named.json()["name"] == "More"
    assert admin.replace("/groups/more", {"spec": {"members": []}}).json()["name"] is None
    made(admin.post("/four-eyes", {"policy_four_eyes": True}))
    for address in ("/lists/more", "/retention/more"):
        before = admin.get(address)
        proposed = admin.edit(address, {"spec": {"items": []} if "lists" in address else {"keep_payload": "P60D"}})
        assert (proposed.status_code, admin.get(address)["ETag"]) == (202, before["ETag"]), proposed.content
    make_principal(tenant, "bob", roles=("tenant_admin",))  # from two stewards on, identity_four_eyes is on
    for address, spec in (("/roles/more", {"scopes": ["workitems:read"]}), ("/groups/more", {"members": ["bob"]})):
        before = admin.get(address)
        proposed = admin.replace(address, {"spec": spec})
        assert (proposed.status_code, admin.get(address)["ETag"]) == (202, before["ETag"]), proposed.content


@pytest.mark.django_db
def test_a_configuration_that_is_hidden_cannot_be_patched(world: World) -> None:
    names, blind = world.home.ids, world.without(Scope.WORKITEMS_READ)
    for address, body, refusal in (
        (f"/integrations/{names['integration_id']}", {"name": "Mine"}, "permission_denied"),
        (f"/workflows/{names['workflow_id']}", {}, "not_found"),
        (f"/policies/{names['policy_id']}/versions/{names['version']}", {"document": {}}, "permission_denied"),
    ):
        answer = blind.patch(address, body, headers={"If-Match": "*"})
        assert answer.json().get("reason_code") == refusal, address


@pytest.mark.django_db
def test_the_protection_of_personal_data_ends_by_an_explicit_null(world: World) -> None:
    admin = world.home.admin
    spec = {"payload_schema": {"type": "object"}, "subject": "/customer_no"}
    created = admin.put("/workflows/claims", {"spec": spec}, headers={"If-None-Match": "*"})
    assert created.status_code == 201
    lost = admin.replace("/workflows/claims", {"spec": {"payload_schema": {"type": "object"}}})
    assert [error["pointer"] for error in lost.json()["errors"]] == ["/spec/subject"]
    kept = admin.edit("/workflows/claims", {"spec": {"description": "Claims"}})
    assert kept.json()["spec"]["subject"] == "/customer_no"
    assert "subject" not in admin.edit("/workflows/claims", {"spec": {"subject": None}}).json()["spec"]


@pytest.mark.django_db
@pytest.mark.usefixtures("step_up")
def test_what_has_changed_since_it_was_read_is_not_deleted(world: World) -> None:
    admin, names = world.home.admin, world.home.ids
    tagged = [path for path in EDITED if ("DELETE", path) in OPERATIONS]
    assert len(tagged) >= 9
    for path in tagged:
        address = path.format(**names)
        tag = admin.get(address)["ETag"]
        stale = admin.delete(address, headers={"If-Match": '"stale"'})
        assert (stale.status_code, admin.get(address)["ETag"]) == (412, tag), path
    draft = f"/policies/{names['policy_id']}/versions/{names['version']}"
    assert admin.delete(draft, headers={"If-Match": admin.get(draft)["ETag"]}).status_code == 409


@pytest.mark.parametrize("operation", [one for one in operations() if "201" in one.raw["responses"]], ids=str)
def test_what_is_created_has_an_address_and_an_end(operation: Operation) -> None:
    assert "Location" in operation.raw["responses"]["201"]["headers"]
    if operation.method == "POST":
        assert has_end(operation.path) != (operation.path in WITHOUT_END)


def has_end(collection: str) -> bool:
    """Return True if the members of a collection can be deleted, or ended by an operation."""
    member = re.compile(re.escape(collection) + r"/\{\w+\}")
    return any(
        (method == "DELETE" and member.fullmatch(path))
        or (method == "POST" and any(member.fullmatch(path.removesuffix(f"/{end}")) for end in ENDS))
        for method, path in OPERATIONS
    )


def test_ends_are_found() -> None:
    assert has_end("/workflows")
    assert not has_end("/telemetry")
