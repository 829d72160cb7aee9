"""Administration by stewards through the API: the same services, and the same second person, as in the console."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from integrations.models import Integration
from policies.models import Overlay
from tests.client import Api
from tests.factories import make_principal, make_token
from tests.workitems.office import Office
from threada_site.api.models import IdempotencyRecord
from threada_site.api.stored_answers import opened_answer
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.object_grants import set_object_scopes
from threada_site.identity.grants.role_grants import set_roles
from threada_site.identity.roles import define_role
from threada_site.kernel.context import Scope
from threada_site.tenancy.account_link_models import AccountLink
from workitems.retention import dry_run

DOCUMENTS = (
    (
        "/roles",
        "role_id",
        {"scopes": ["workitems:read"], "visibility": "tenant"},
        {"scopes": [], "visibility": "tenant"},
    ),
    ("/groups", "group_id", {"members": ["fay"]}, {"members": ["fay", "finn"]}),
    ("/lists", "list_id", {"items": ["Initech", 5]}, {"items": ["Initech"]}),
    (
        "/retention",
        "retention_rule_id",
        {"keep_payload": "P90D", "then": "delete"},
        {"keep_payload": "P10D", "then": "delete"},
    ),
)


@pytest.fixture
def steward(office: Office) -> Api:
    """Return a client of the only steward, whose changes nobody has to confirm."""
    with unit_of_work(office.tenant.id):
        set_roles(office.people["ada"], ["viewer"], ctx=office.system)
    return Api(make_token(office.tenant, make_principal(office.tenant, "stella", roles=("tenant_admin",))))


@pytest.mark.parametrize(("path", "name", "spec", "changed"), DOCUMENTS)
def test_documents_are_put_read_and_withdrawn(
    office: Office, steward: Api, path: str, name: str, spec: dict[str, Any], changed: dict[str, Any]
) -> None:
    made = steward.post(path, {name: "added", "spec": spec})
    assert (made.status_code, made.headers["Location"]) == (201, f"{path}/added"), made.json()
    read = steward.get(f"{path}/added").json()
    assert read == made.json()
    assert read["spec"] == spec
    assert steward.post(path, {name: "added", "spec": read["spec"]}).status_code == 200
    assert steward.post(path, {name: "added", "spec": changed}).json()["spec"] == changed
    assert "added" in [row[name] for row in steward.get(path).json()["data"]]
    wrong = steward.post(path, {name: "added", "spec": {"colour": "red"}})
    assert (wrong.status_code, wrong.json()["reason_code"]) == (422, "document_invalid")
    for api in (office.api("rita"), office.api("fay")):
        refusals = [api.post(path, {name: "added", "spec": spec}), api.delete(f"{path}/added")]
        assert [answer.status_code for answer in refusals] == [403, 403]
    for hidden in (path, f"{path}/added", *([f"{path}/added/source"] if path == "/lists" else [])):
        assert office.api("rita").get(hidden).status_code == 403  # she sees her own work items only
    assert steward.delete(f"{path}/added").status_code == 204
    assert steward.get(f"{path}/added").status_code == steward.delete(f"{path}/added").status_code == 404


def test_people_are_invited_and_never_get_a_token_from_others(office: Office, steward: Api) -> None:
    body = {
        "principal": "nora",
        "kind": "human",
        "display_name": "Nora",
        "email": "nora@example.org",
        "roles": ["viewer"],
    }
    made = steward.post("/principals", body)
    assert (made.status_code, made.json()["state"]) == (201, "invited"), made.json()
    assert "token" not in made.content.decode()
    with unit_of_work(office.tenant.id):
        assert AccountLink.objects.filter(user__username="nora").count() == 1
    assert steward.post("/principals/nora/invite", {"email": "nora@example.org"}).status_code == 200
    for name in ("nora", "stella", "nobody"):
        wanted = {"principal": name, "scopes": ["workitems:read"], "expires_in_days": 1}
        assert steward.post("/credentials", wanted).status_code == 422
    assert steward.post("/principals/nora/roles", {"roles": ["auditor"]}).json()["roles"] == ["auditor"]
    assert [row["principal"] for row in steward.get("/principals", {"role_id": "auditor"}).json()["data"]] == ["nora"]
    assert steward.delete("/principals/nora").status_code == 204
    assert steward.get("/principals/nora").status_code == 404
    last = steward.delete("/principals/stella")
    assert last.json()["reason_code"] == "last_steward", last.json()


def test_services_and_agents_get_credentials_once(office: Office, steward: Api) -> None:
    agent = {"principal": "botty", "kind": "agent", "roles": ["viewer"], "owner": "fay"}
    assert steward.post("/principals", agent).json()["owner"] == "fay"
    assert steward.post("/principals/botty/owner", {"owner": None}).json()["owner"] is None
    wanted = {"principal": "botty", "scopes": ["workitems:read"], "label": "Nightly", "expires_in_days": 1}
    issued, repeated = (steward.post("/credentials", wanted, {"Idempotency-Key": "once"}) for _ in "ab")
    token = issued.json()["token"]
    assert (issued.status_code, repeated.status_code, repeated.json()["token"]) == (201, 201, None)
    assert repeated.json() == {**issued.json(), "token": None}
    with unit_of_work(office.tenant.id):
        assert not any(token.encode() in opened_answer(record) for record in IdempotencyRecord.objects.all())
    assert Api(token).get("/me").json()["name"] == "botty"
    shown = steward.get("/credentials", {"principal": "botty"}).json()["data"]
    assert [row["credential_id"] for row in shown] == [issued.json()["credential_id"]]
    assert {row["principal"] for row in steward.get("/credentials").json()["data"]} <= {"botty", "agent", "service"}
    beyond = steward.post("/credentials", {**wanted, "scopes": ["workflow:manage"]})
    assert beyond.json()["reason_code"] == "scope_not_grantable"
    assert steward.post(f"/credentials/{shown[0]['credential_id']}/revoke", {}).json()["revoked_at"]
    assert Api(token).get("/me").json()["reason_code"] == "credential_revoked"


def test_a_service_does_not_extend_its_own_access(office: Office, steward: Api) -> None:
    service = office.join("deployer", "service", ("tenant_admin",))
    office.join("runner", "service", ("viewer",))
    forever, ending = (Api(make_token(office.tenant, service, expires_in=life)) for life in (None, timedelta(days=2)))
    wanted = {"scopes": ["workitems:read"], "expires_in_days": 1}
    for api in (forever, ending):
        own = api.post("/credentials", {"principal": "deployer", **wanted})
        assert (own.status_code, own.json()["reason_code"]) == (403, "permission_denied")
        assert api.post("/credentials", {"principal": "runner", **wanted}).status_code == 201
    longer = {"principal": "runner", **wanted, "expires_in_days": 3}
    assert ending.post("/credentials", longer).json()["reason_code"] == "permission_denied"
    assert steward.post("/credentials", {**longer, "principal": "deployer"}).status_code == 201


def test_answers_show_nothing_that_the_caller_may_not_read(office: Office) -> None:
    """Changes need the right to read what they answer; unknown and forbidden integrations look alike."""
    with unit_of_work(office.tenant.id):
        define_role("publisher", frozenset({Scope.POLICIES_PUBLISH, Scope.WORKFLOW_MANAGE}), ctx=office.system)
        define_role("operator", frozenset({Scope.INTEGRATIONS_MANAGE}), ctx=office.system)
        bank, desk = (Integration.objects.get(slug=slug) for slug in ("bank", "desk"))
        overlay = Overlay.objects.get()
    publisher = Api(make_token(office.tenant, office.join("paul", roles=("publisher",))))
    for path in (f"/overlays/{overlay.public_id}", "/channels/web"):
        assert publisher.patch(path, {}, headers={"If-Match": "*"}).json()["reason_code"] == "permission_denied", path
    operator = Api(make_token(office.tenant, office.join("olga", roles=("operator",))))
    for verb in ("pause", "resume"):
        assert operator.post(f"/telemetry/deliveries/siem/{verb}", {}).json()["reason_code"] == "permission_denied"
    person = office.join("bea", roles=("requester",))
    with unit_of_work(office.tenant.id):
        set_object_scopes(person, bank, frozenset({Scope.INTEGRATIONS_MANAGE}), ctx=office.system)
    some = Api(make_token(office.tenant, person))
    answers = [
        some.send(method, f"/integrations/{slug}", {}, headers={"If-Match": "*"}).json()
        for method in ("PATCH", "DELETE", "PUT")
        for slug in (desk.slug, "nothing")
    ]
    assert {(answer["reason_code"], answer["detail"]) for answer in answers} == {
        ("permission_denied", "You do not hold integrations:manage here.")
    }


def test_a_second_steward_confirms_what_the_console_asks_for(office: Office, steward: Api) -> None:
    other = Api(make_token(office.tenant, make_principal(office.tenant, "stan", roles=("tenant_admin",))))
    assert steward.get("/four-eyes").json()["identity_four_eyes"] is True
    requests = (
        ("POST", "/principals", {"principal": "nora", "kind": "agent", "roles": ["viewer"]}),
        ("POST", "/principals/fay/roles", {"roles": ["tenant_admin"]}),
        ("DELETE", "/principals/fay", None),
        ("POST", "/roles", {"role_id": "wide", "spec": {"scopes": ["workflow:manage"]}}),
        (
            "POST",
            "/roles",
            {"role_id": "clerk", "spec": {"scopes": ["workitems:read"], "visibility": "own", "require_mfa": True}},
        ),
        ("POST", "/groups", {"group_id": "few", "spec": {"members": ["fay"]}}),
        ("DELETE", "/roles/finance", None),
    )
    proposed = []
    for method, path, body in requests:
        answer = steward.send(method, path, body)
        if path == "/roles/finance":  # members hold it
            assert answer.json()["reason_code"] == "in_use"
            continue
        assert answer.status_code == 202, (path, answer.json())
        proposed.append(answer.json())
    assert steward.get("/principals/nora").status_code == steward.get("/roles/wide").status_code == 404
    published = other.post(f"/change-sets/{proposed[0]['change_set_id']}/publish", {"digest": proposed[0]["digest"]})
    assert published.status_code == 200, published.json()
    (clerk,) = (change for change in proposed if change["title"].endswith("clerk"))
    other.post(f"/change-sets/{clerk['change_set_id']}/publish", {"digest": clerk["digest"]})
    spec = {"scopes": ["workitems:read"], "visibility": "own", "require_mfa": True}
    assert steward.get("/roles/clerk").json()["spec"] == spec, "no role is wider for a while"
    wanted = {"principal": "fay", "kind": "human", "roles": ["approver"]}
    assert steward.post("/principals", wanted).status_code == 200, "she is a member with this role"


def test_legal_holds_are_set_by_stewards_and_lifted_by_people(office: Office, steward: Api) -> None:
    item = office.create()
    body = {"reason": "A lawsuit.", "work_item_id": item.public_id, "created_before": "2030-01-01T00:00:00Z"}
    held = steward.post("/legal-holds", body)
    assert held.status_code == 201, held.json()
    assert steward.get(held.headers["Location"]).json() == held.json()
    for wrong in (
        {"reason": "Nothing is named."},
        {"reason": "x", "created_after": "yesterday"},
        {"reason": "x", "requester": office.create().public_id.replace("wi_", "pr_")},
        {"reason": "x", "workflow_id": "paymets"},
        {"reason": "x", "channel_id": "wbe"},
        {"reason": "x", "created_after": "2026-01-02T00:00:00Z", "created_before": "2026-01-01T00:00:00Z"},
    ):
        assert steward.post("/legal-holds", wrong).status_code == 422, wrong
    assert steward.delete("/principals/rita").status_code == 204
    assert (
        steward.post("/legal-holds", {"reason": "x", "requester": office.people["rita"].public_id}).status_code == 201
    )
    assert office.api("fay").get("/legal-holds").status_code == 403
    run = steward.post("/retention-runs", {})
    assert (run.status_code, run.json()["status"]) == (201, "planned")
    assert steward.get("/retention-runs").json()["data"] == [run.json()]
    lifted = steward.post(f"{held.headers['Location']}/lift", {"reason": "It has ended."})
    assert lifted.status_code == 202, lifted.json()
    assert [row["in_force"] for row in steward.get("/legal-holds", {"in_force": "true"}).json()["data"]] == [True] * 2


def test_requests_do_not_wait_long_for_retention(office: Office, steward: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A steward could hold all threads of the web with requests that wait for each other, or count for minutes."""
    key = [f"retention:{office.tenant.id}"]
    parameters = connection.get_connection_params() | {"autocommit": True}
    parameters.pop("pool", None)
    with closing(connection.get_new_connection(parameters)) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", key)
        body = {"reason": "A lawsuit.", "workflow_id": "payments"}
        for path, sent in (("/legal-holds", body), ("/retention-runs", {})):
            busy = steward.post(path, sent)
            assert (busy.status_code, busy.json()["reason_code"]) == (429, "rate_limited")
    steward.post("/retention", {"retention_rule_id": "all", "spec": {"keep_payload": "P90D", "then": "delete"}})
    monkeypatch.setattr(dry_run, "LONGEST_S", 0.0)
    assert steward.post("/retention-runs", {}).json()["reason_code"] == "conflict"
    monkeypatch.undo()
    assert steward.post("/retention-runs", {}).status_code == 201


def test_single_versions_and_overlays_are_read(office: Office, steward: Api) -> None:
    item = steward.get(f"/work-items/{office.create().public_id}").json()
    by_id = steward.get(f"/workflows/payments/versions/{item['workflow_version_id']}").json()
    assert by_id == steward.get("/workflows/payments/versions/1").json()
    assert by_id["spec"]["actions"]
    (version, *_) = steward.get("/integrations/bank/versions").json()["data"]
    read = steward.get(f"/integrations/bank/versions/{version['version']}").json()
    assert read == {**version, "spec": read["spec"]}
    assert read["spec"]["connector"]
    assert office.api("rita").get("/integrations/bank/versions").status_code == 403
    (overlay, *_) = steward.get("/overlays").json()["data"]
    assert steward.get(f"/overlays/{overlay['overlay_id']}").json() == overlay
    for path in ("/workflows/payments/versions/9", "/integrations/bank/versions/0", "/workflows/payments/versions/x"):
        assert steward.get(path).status_code == 404


def test_a_workflow_or_channel_with_open_work_items_is_not_removed(office: Office) -> None:
    admin = office.api("ada")
    assert admin.put("/channels/side_door", {"name": "Side door"}, headers={"If-None-Match": "*"}).status_code == 201
    office.upsert_workflow("orders")
    item = office.create(workflow="orders", channel="side_door")
    for path in ("/channels/side_door", "/workflows/orders"):
        refused = admin.delete(path)
        assert (refused.status_code, refused.json()["reason_code"]) == (409, "in_use")
        assert refused.json()["errors"][0]["detail"] == f"{item.public_id} is new"
    assert office.api("rita").post(f"/work-items/{item.public_id}/cancel", {}).status_code == 200
    assert [admin.delete(path).status_code for path in ("/channels/side_door", "/workflows/orders")] == [204, 204]
