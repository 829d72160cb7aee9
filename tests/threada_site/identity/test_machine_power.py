"""Every door by which a service could give itself or somebody else power, and what stands at it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_django import Settings

from tests.client import Api
from tests.contract.world import rows_of_everything
from tests.factories import acting, acting_system, make_principal, make_token, stepped_up
from tests.step_up import people_stepped_up
from tests.threada_site.api.conftest import assert_problem
from tests.threada_site.identity.trusted_issuers.conftest import trust
from tests.threada_site.identity.trusted_issuers.issuer import Issuer, mapping, offline_spec, spec
from tests.threada_site.identity.trusted_issuers.test_exchange import exchanged
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.change_sets.publish import publish
from threada_site.identity.credentials import issue_credential
from threada_site.identity.groups import define_group
from threada_site.identity.providers.configure import upsert_provider, withdraw_provider
from threada_site.identity.roles import define_role
from threada_site.identity.tenants import set_browser_origins, set_quota, set_require_mfa
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer, withdraw_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.kernel import errors
from threada_site.kernel.context import PrincipalKind, Scope
from threada_site.tenancy.models import ChangeSet, Credential, Tenant, TrustedIssuer, User
from threada_site.tenancy.quotas.kinds import Quota

PROVIDER = {"protocol": "oidc", "name": "Corp", "issuer": "https://id.example.com", "client_id": "threada"}
OTHER = {**PROVIDER, "name": "Group"}
ALL = sorted(scope.value for scope in Scope)
WRITES = frozenset(
    {
        "telemetry_receipt",
        "telemetry_sealqueueentry",
        "telemetry_refusalcount",
        "api_idempotencyrecord",
        "tenancy_ratebucket",
        "tenancy_raterefusals",
        "tenancy_changeset",
    }
)
"""Tables that a refusal or a proposal may write."""


@pytest.fixture
def trusted() -> dict[str, Any]:
    return offline_spec()


@pytest.fixture
def robot(tenant: Tenant, settings: Settings, trusted: dict[str, Any]) -> Api:
    """Return the client of a service with every scope. One steward is alone, so that no four-eyes rule is on."""
    settings.THREADA_PUBLIC_URL = "https://threada.test"
    owner = make_principal(tenant, "ann", roles=["tenant_admin"])
    service = make_principal(tenant, "robot", "service", ["tenant_admin"])
    make_principal(tenant, "helper", "service", ["viewer"])
    make_principal(tenant, "deployer", "service", ["requester"])
    make_principal(tenant, "bob", roles=["viewer"])
    ctx = acting_system(tenant)
    with unit_of_work(tenant.id):
        define_role("spare", frozenset({Scope.WORKITEMS_READ}), ctx=ctx)
        define_role("directory", frozenset({Scope.IDENTITY_PROVISION}), ctx=ctx)
        define_group("team", ["bob"], ctx=ctx)
        upsert_trusted_issuer("ci", parse_trusted_issuer(trusted), ctx=ctx)
        upsert_provider("corp", PROVIDER, ctx=ctx)
    make_principal(tenant, "directory", "service", ["directory"])
    api = Api(make_token(tenant, User.objects.get(username="ann")))
    assert api.post("/workflows", {"workflow_id": "wages", "spec": {"actions": ["pay"]}}).status_code == 201
    assert owner.id
    return Api(make_token(tenant, service))


def people_only(trusted: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """Return the requests that write how others authenticate."""
    narrowed = {**trusted, "algorithms": ["PS256"]}
    return [
        ("POST", "/trusted-issuers", {"trusted_issuer_id": "mine", "spec": {**trusted, "issuer": "https://me.test"}}),
        ("POST", "/trusted-issuers", {"trusted_issuer_id": "ci", "spec": narrowed}),
        ("PUT", "/trusted-issuers/ci", {"spec": narrowed}),
        ("PATCH", "/trusted-issuers/ci", {"spec": {"algorithms": ["PS256"]}}),
        ("DELETE", "/trusted-issuers/ci", None),
        ("POST", "/identity-providers", {"identity_provider_id": "mine", "spec": PROVIDER}),
        ("POST", "/identity-providers", {"identity_provider_id": "corp", "spec": OTHER}),
        ("PUT", "/identity-providers/corp", {"spec": OTHER}),
        ("PATCH", "/identity-providers/corp", {"spec": {"name": "Group"}}),
        ("DELETE", "/identity-providers/corp", None),
        ("POST", "/credentials", {"principal": "directory", "scopes": ["identity:provision"], "expires_in_days": 1}),
    ]


def proposed() -> list[tuple[str, str, Any]]:
    """Return the requests that write who may do what."""
    return [
        ("POST", "/roles", {"role_id": "new", "spec": {"scopes": ALL}}),
        ("PUT", "/roles/spare", {"spec": {"scopes": ALL}}),
        ("PATCH", "/roles/spare", {"spec": {"require_mfa": False}}),
        ("PATCH", "/roles/spare", {"spec": {"scopes": ["workitems:read", "workitems:on_behalf"]}}),
        ("PATCH", "/roles/spare", {"spec": {"visibility": "own"}}),
        ("DELETE", "/roles/spare", None),
        ("POST", "/groups", {"group_id": "new", "spec": {"members": ["bob"]}}),
        ("PUT", "/groups/team", {"spec": {"members": []}}),
        ("PATCH", "/groups/team", {"spec": {"members": ["ann"]}}),
        ("DELETE", "/groups/team", None),
        ("POST", "/principals", {"principal": "puppet", "kind": "human", "roles": ["approver"]}),
        ("POST", "/principals", {"principal": "tool", "kind": "service", "roles": ["tenant_admin"], "owner": "bob"}),
        ("POST", "/principals", {"principal": "helper", "kind": "service", "roles": ["tenant_admin"]}),
        ("POST", "/principals/robot/roles", {"roles": ["tenant_admin", "approver"]}),
        ("POST", "/principals/robot/owner", {"owner": "bob"}),
        ("DELETE", "/principals/bob", None),
        ("PUT", "/workflows/wages/grants/helper", {"scopes": ["workitems:read", "workitems:on_behalf"]}),
        ("POST", "/configuration/apply", {"kind": "Role", "id": "new", "spec": {"scopes": ALL}}),
        ("POST", "/configuration/apply", {"kind": "Group", "id": "new", "spec": {"members": ["bob"]}}),
        (
            "POST",
            "/configuration/apply",
            {"kind": "Grant", "id": "helper", "spec": {"workflows": {"wages": ["workitems:read"]}}},
        ),
    ]


def pack(*documents: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "Pack", "id": "bundle", "spec": {"version": "1", "documents": list(documents)}}


def proposals(tenant: Tenant) -> list[ChangeSet]:
    with unit_of_work(tenant.id):
        return list(ChangeSet.objects.filter(tenant_id=tenant.id, status="proposed").order_by("id"))


def send(api: Api, method: str, path: str, body: Any) -> Any:
    """Send a request, with the entity tag if it replaces something. `apply` sends the digest of its plan."""
    if path == "/configuration/apply":
        files = [{"path": "a.json", "text": json.dumps(body)}]
        plan = api.post("/configuration/plan", {"files": files})
        if plan.status_code != 200:
            return plan
        assert plan.json()["needs_confirmation"] is True, plan.json()
        return api.post(path, {"files": files, "digest": plan.json()["digest"]})
    tag = api.get(path).headers.get("ETag") if method in ("PUT", "PATCH") else None
    return api.send(method, path, body, headers={"If-Match": tag} if tag else None)


def test_a_machine_writes_nothing_by_which_others_authenticate(
    tenant: Tenant, robot: Api, trusted: dict[str, Any]
) -> None:
    before = rows_of_everything(but=WRITES)
    for method, path, body in people_only(trusted):
        assert_problem(send(robot, method, path, body), 403, "person_required")
        assert rows_of_everything(but=WRITES) == before, (method, path)
    assert proposals(tenant) == []


def test_a_machine_writes_it_neither_by_plan_nor_by_apply_nor_in_a_pack(
    tenant: Tenant, robot: Api, trusted: dict[str, Any]
) -> None:
    before = rows_of_everything(but=WRITES)
    for kind, value in (
        ("TrustedIssuer", {**trusted, "issuer": "https://me.test"}),
        ("IdentityProvider", PROVIDER),
    ):
        document = {"kind": kind, "id": "mine", "spec": value}
        files = [{"path": "a.json", "text": json.dumps(document)}]
        for path, more in (("/configuration/plan", {}), ("/configuration/apply", {"digest": "0" * 64})):
            problem = assert_problem(robot.post(path, {"files": files, **more}), 403, "person_required")
            assert "a.json:1" in problem["errors"][0]["detail"]
        assert_problem(robot.post("/packs", {"document": pack(document)}), 422, "document_invalid")
    for document in (
        {"kind": "Role", "id": "new", "spec": {"scopes": ALL}},
        {"kind": "Group", "id": "new", "spec": {"members": ["bob"]}},
    ):
        assert_problem(robot.post("/packs", {"document": pack(document)}), 422, "document_invalid")
    assert rows_of_everything(but=WRITES) == before
    assert proposals(tenant) == []


@pytest.mark.parametrize("kind", ["service", "agent"])
@pytest.mark.parametrize("way", ["token_of_the_issuer", "exchanged_token"])
def test_a_machine_for_which_an_issuer_speaks_writes_nothing_of_it(
    tenant: Tenant, robot: Api, trusted: dict[str, Any], way: str, kind: str
) -> None:
    """Its owner is a steward, it has every scope and names a person as requester: nothing makes a person of it."""
    make_principal(tenant, "delegate", kind, ["tenant_admin"], owner="ann")
    issuer = Issuer(name="https://build.test")
    trust(tenant, issuer, mapping(principal="delegate", scopes=ALL), slug="build")
    token = issuer.token(sub="ann")
    delegate = Api(token if way == "token_of_the_issuer" else exchanged(token))
    assert delegate.get("/me").json()["kind"] == kind
    before = rows_of_everything(but=WRITES)
    for method, path, body in people_only(trusted):
        assert_problem(send(delegate, method, path, body), 403, "person_required")
        assert rows_of_everything(but=WRITES) == before, (method, path)
        if method == "POST":
            named = {**body, "requester": User.objects.get(username="ann").public_id}
            assert_problem(send(delegate, method, path, named), 422, "invalid_request")
    for noun, value in (("TrustedIssuer", {**trusted, "issuer": "https://me.test"}), ("IdentityProvider", PROVIDER)):
        files = [{"path": "a.json", "text": json.dumps({"kind": noun, "id": "mine", "spec": value})}]
        for path, more in (("/configuration/plan", {}), ("/configuration/apply", {"digest": "0" * 64})):
            assert_problem(delegate.post(path, {"files": files, **more}), 403, "person_required")
    assert rows_of_everything(but=WRITES) == before
    assert proposals(tenant) == []
    assert robot.get("/trusted-issuers/mine").status_code == 404


def test_a_machine_prunes_none_but_may_apply_what_is_in_force(robot: Api, trusted: dict[str, Any]) -> None:
    document = {"kind": "TrustedIssuer", "id": "ci", "spec": trusted}
    files = [
        {"path": "a.json", "text": json.dumps(document)},
        {"path": "b.json", "text": json.dumps({"kind": "IdentityProvider", "id": "corp", "spec": PROVIDER})},
        {"path": "c.json", "text": json.dumps({"kind": "Channel", "id": "mail"})},
    ]
    before = rows_of_everything(but=WRITES)
    pruned = robot.post("/configuration/plan", {"files": files[:1], "prune": True})
    assert_problem(pruned, 403, "person_required")
    assert rows_of_everything(but=WRITES) == before
    plan = robot.post("/configuration/plan", {"files": files}).json()
    applied = robot.post("/configuration/apply", {"files": files, "digest": plan["digest"]})
    assert applied.status_code == 200, applied.json()
    assert [one["name"] for one in applied.json()["changes"]] == ["mail"]


def test_what_a_machine_writes_about_power_is_always_a_change_set(tenant: Tenant, robot: Api) -> None:
    assert robot.get("/four-eyes").json()["identity_four_eyes"] is False
    before = rows_of_everything(but=WRITES)
    for number, (method, path, body) in enumerate(proposed(), start=1):
        answer = send(robot, method, path, body)
        assert answer.status_code == 202, (method, path, answer.content)
        assert rows_of_everything(but=WRITES) == before, (method, path)
        assert len(proposals(tenant)) == number, (method, path)


def test_a_credential_that_a_machine_issues_serves_only_after_a_person_confirmed_it(tenant: Tenant, robot: Api) -> None:
    asked = {"principal": "helper", "scopes": ["workitems:read"], "expires_in_days": 1}
    limited = Api(make_token(tenant, User.objects.get(username="robot")))
    issued = limited.post("/credentials", asked)
    assert (issued.status_code, issued.json()["awaits_confirmation"]) == (201, True)
    helper = Api(issued.json()["token"])
    assert_problem(helper.get("/work-items"), 401, "credential_unconfirmed")
    (change_set,) = proposals(tenant)
    assert change_set.operation == "identity.confirm_credential"
    bea = make_principal(tenant, "bea", roles=["tenant_admin"])
    with unit_of_work(tenant.id):
        publish(change_set, change_set.digest, ctx=acting(tenant, bea))
    assert helper.get("/work-items").status_code == 200
    assert robot.post("/credentials", {**asked, "principal": "robot"}).status_code == 403


def test_a_machine_reaches_none_of_what_is_the_operators_or_two_peoples(tenant: Tenant, robot: Api) -> None:
    service = User.objects.get(username="robot")
    ctx = acting(tenant, service)
    before = rows_of_everything(but=WRITES)
    for change in (
        lambda: set_browser_origins(["https://me.test"], ctx=ctx),
        lambda: set_require_mfa(False, ctx=ctx),
        lambda: set_quota(Quota.TRUSTED_ISSUERS, 1000, ctx=ctx),
    ):
        with pytest.raises(errors.PermissionDenied), unit_of_work(tenant.id):
            change()
    for path, body in (
        ("/four-eyes", {"legal_hold_four_eyes": False}),
        ("/tenant-deletion", {"tenant_id": "acme"}),
        ("/identity-providers/corp/confirm-links", {}),
    ):
        assert_problem(robot.post(path, body), 403, "person_required")
    assert rows_of_everything(but=WRITES) == before


def test_a_token_of_a_person_is_no_step_up(tenant: Tenant, robot: Api, trusted: dict[str, Any]) -> None:
    ann = Api(make_token(tenant, User.objects.get(username="ann")))
    before = rows_of_everything(but=WRITES)
    for method, path, body in people_only(trusted):
        assert_problem(send(ann, method, path, body), 403, "step_up_required")
        assert rows_of_everything(but=WRITES) == before, (method, path)
    document = json.dumps({"kind": "IdentityProvider", "id": "mine", "spec": PROVIDER})
    answer = ann.post("/configuration/plan", {"files": [{"path": "a.json", "text": document}]})
    assert_problem(answer, 403, "step_up_required")
    with people_stepped_up():
        assert send(ann, *people_only(trusted)[0]).status_code == 201
    assert robot.get("/trusted-issuers/mine").status_code == 200


def test_nobody_publishes_it_without_a_step_up(tenant: Tenant, robot: Api, trusted: dict[str, Any]) -> None:
    ann, bea = User.objects.get(username="ann"), make_principal(tenant, "bea", roles=["tenant_admin"])
    with people_stepped_up():
        sent = {"trusted_issuer_id": "mine", "spec": {**trusted, "issuer": "https://me.test"}}
        change = Api(make_token(tenant, ann)).post("/trusted-issuers", sent).json()
    publisher, path = Api(make_token(tenant, bea)), f"/change-sets/{change['change_set_id']}/publish"
    assert_problem(publisher.post(path, {"digest": change["digest"]}), 403, "step_up_required")
    with unit_of_work(tenant.id):
        assert not TrustedIssuer.objects.filter(slug="mine").exists()
    assert publisher.get(f"/change-sets/{change['change_set_id']}").json()["status"] == "proposed"
    with people_stepped_up():
        assert publisher.post(path, {"digest": change["digest"]}).status_code == 200
    assert robot.get("/trusted-issuers/mine").status_code == 200


def test_the_services_refuse_a_machine_at_every_entry_point(
    tenant: Tenant, robot: Api, trusted: dict[str, Any]
) -> None:
    """MCP, jobs and whatever comes later call the same functions."""
    service = User.objects.get(username="robot")
    directory = User.objects.get(username="directory")
    ctx = acting(tenant, service)
    before = rows_of_everything(but=WRITES)
    mine = parse_trusted_issuer(spec(Issuer(name="https://me.test"), mapping(principal="robot"), jwks=trusted["jwks"]))
    for write in (
        lambda: upsert_trusted_issuer("mine", mine, ctx=ctx),
        lambda: withdraw_trusted_issuer("ci", ctx=ctx),
        lambda: upsert_provider("corp", OTHER, ctx=ctx),
        lambda: withdraw_provider("corp", ctx=ctx),
        lambda: issue_credential(principal=directory, scopes=["identity:provision"], ctx=ctx),
    ):
        with pytest.raises(errors.PersonRequired), unit_of_work(tenant.id):
            write()
    assert rows_of_everything(but=WRITES) == before
    assert ctx.principal_kind is PrincipalKind.SERVICE
    with unit_of_work(tenant.id):
        assert not Credential.objects.filter(user=directory).exists()
    person = stepped_up(acting(tenant, User.objects.get(username="ann")))
    with unit_of_work(tenant.id):
        upsert_trusted_issuer("mine", mine, ctx=person)
