"""From a token to a context: everything that is missing, unknown or mismatched fails closed, and is on record."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from policies.models import Workflow
from telemetry.models import Receipt
from tests.client import Api
from tests.factories import acting_system, make_principal, make_token
from tests.threada_site.api.conftest import assert_problem, refusals_of
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity import services
from threada_site.kernel import clock, tokens
from threada_site.kernel.context import Scope
from threada_site.tenancy.models import Credential, Tenant, User

pytestmark = pytest.mark.urls("tests.threada_site.api.shelf")


def change_credential(tenant: Tenant, **values: object) -> None:
    with unit_of_work(tenant.id):
        Credential.objects.update(**values)


class TestToken:
    @pytest.mark.parametrize(
        "header",
        [
            "Bearer",
            "Bearer ",
            "Bearer thr_",
            "Bearer thr_" + "a" * 49,
            "Basic YWxpY2U6c2VjcmV0",
            "Bearer 'thr_x'; SELECT 1",
            "thr_" + "a" * 49,
        ],
    )
    def test_what_has_no_tokens_form_is_refused_without_a_look_up(self, db: None, header: str) -> None:
        with CaptureQueriesContext(connection) as queries:
            response = Api(headers={"Authorization": header}).get("/me")
        assert_problem(response, 401, "credential_invalid")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="threada"'
        assert [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]] == []

    def test_none_at_all(self, db: None) -> None:
        response = Api().get("/me")
        assert_problem(response, 401, "credential_missing")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="threada"'

    def test_a_well_formed_one_that_nobody_issued(self, tenant: Tenant) -> None:
        assert_problem(Api(tokens.new_token()).get("/me"), 401, "credential_invalid")
        assert refusals_of(tenant) == []

    def test_one_wrong_character_fails_the_checksum(self, token: str) -> None:
        spoiled = token[:10] + ("a" if token[10] != "a" else "b") + token[11:]
        assert_problem(Api(spoiled).get("/me"), 401, "credential_invalid")

    def test_the_scheme_is_read_without_regard_to_case(self, token: str) -> None:
        assert Api(headers={"Authorization": f"bEARER  {token} "}).get("/me").status_code == 200

    def test_expired(self, tenant: Tenant, client: Api) -> None:
        change_credential(tenant, expires_at=clock.now() - timedelta(seconds=1))
        response = client.get("/me")
        assert_problem(response, 401, "credential_expired")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="threada"'
        assert refusals_of(tenant) == [("credential_expired",)]

    def test_revoked(self, tenant: Tenant, client: Api) -> None:
        with unit_of_work(tenant.id):
            services.revoke_credential(Credential.objects.get(), ctx=acting_system(tenant))
        assert_problem(client.get("/me"), 401, "credential_revoked")
        assert refusals_of(tenant) == [("credential_revoked",)]

    def test_a_principal_that_is_switched_off(self, tenant: Tenant, client: Api, requester: User) -> None:
        User.objects.filter(id=requester.id).update(is_active=False)
        assert_problem(client.get("/me"), 403, "principal_inactive")
        assert refusals_of(tenant) == [("principal_inactive",)]

    def test_a_tenant_that_is_switched_off(self, tenant: Tenant, client: Api) -> None:
        Tenant.objects.filter(id=tenant.id).update(is_active=False)
        assert_problem(client.get("/me"), 403, "principal_inactive")

    def test_a_principal_that_has_left(self, tenant: Tenant, client: Api, requester: User) -> None:
        with unit_of_work(tenant.id):
            requester.memberships.all().delete()
        assert_problem(client.get("/me"), 403, "principal_inactive")

    def test_a_refusal_hands_out_no_rights(self, tenant: Tenant, client: Api) -> None:
        change_credential(tenant, expires_at=clock.now() - timedelta(seconds=1))
        assert_problem(client.post("/channels", {"slug": "web"}), 401, "credential_expired")
        with unit_of_work(tenant.id):
            body = bytes(Receipt.objects.get(kind="request.refused").body)
        assert b'"roles"' not in body


class TestTenantHeader:
    def test_the_right_one(self, client: Api) -> None:
        assert client.get("/me", headers={"Threada-Tenant": "acme"}).json()["tenant"] == "acme"

    @pytest.mark.parametrize("sent", ["globex", "nowhere"])
    def test_another_one(self, tenant: Tenant, other_tenant: Tenant, client: Api, sent: str) -> None:
        assert_problem(client.get("/me", headers={"Threada-Tenant": sent}), 403, "tenant_mismatch")
        assert refusals_of(tenant) == [("tenant_mismatch",)]
        assert refusals_of(other_tenant) == []

    @pytest.mark.parametrize("sent", ["", "Acme", "acme'--", "a" * 64, "\u00e4"])
    def test_what_names_no_tenant(self, client: Api, sent: str) -> None:
        assert_problem(client.get("/me", headers={"Threada-Tenant": sent}), 403, "tenant_mismatch")

    def test_whoever_belongs_to_several_has_to_name_it(self, tenant: Tenant, other_tenant: Tenant, client: Api) -> None:
        make_principal(other_tenant, "alice", roles=["viewer"])
        assert_problem(client.get("/me"), 403, "tenant_required")
        assert client.get("/me", headers={"Threada-Tenant": "acme"}).json()["memberships"] == 2
        assert_problem(client.get("/me", headers={"Threada-Tenant": "globex"}), 403, "tenant_mismatch")


class TestRoleHeader:
    def test_it_narrows_to_one_role(self, tenant: Tenant, api: type[Api]) -> None:
        token = make_token(tenant, make_principal(tenant, "olga", roles=["operator", "viewer"]))
        assert api(token).get("/me").json()["roles"] == ["operator", "viewer"]
        narrowed = api(token, headers={"Threada-Role": "viewer"})
        me = narrowed.get("/me").json()
        assert (me["roles"], me["scopes"]) == (["viewer"], ["workitems:read"])
        assert_problem(narrowed.post("/channels", {"slug": "web"}), 403, "scope_missing")

    @pytest.mark.parametrize("role", ["tenant_admin", "emperor", "", "\u00e4"])
    def test_a_role_not_held_is_refused(self, tenant: Tenant, client: Api, role: str) -> None:
        assert_problem(client.get("/me", headers={"Threada-Role": role}), 403, "role_not_held")
        assert refusals_of(tenant) == [("role_not_held",)]

    def test_it_never_widens_what_the_credential_asked_for(self, tenant: Tenant, requester: User) -> None:
        token = make_token(tenant, requester, ["workitems:read"])
        me = Api(token, headers={"Threada-Role": "requester"}).get("/me").json()
        assert me["scopes"] == ["workitems:read"]


class TestRights:
    def test_taking_a_role_away_works_at_once(self, tenant: Tenant, client: Api, requester: User) -> None:
        assert client.get("/channels").status_code == 200
        with unit_of_work(tenant.id):
            services.withdraw_role(requester, "requester", ctx=acting_system(tenant))
        assert_problem(client.get("/channels"), 403, "scope_missing")

    def test_a_scope_on_one_workflow_alone(self, tenant: Tenant, requester: User) -> None:
        with unit_of_work(tenant.id):
            mine, _ = [Workflow.objects.create(tenant_id=tenant.id, slug=slug) for slug in ("mine", "theirs")]
            services.grant_scope_on(requester, Scope.DECISIONS_DECIDE, mine, ctx=acting_system(tenant))
        client = Api(make_token(tenant, requester, ["decisions:decide"]))
        assert client.get("/me").json()["scopes"] == []
        assert client.post("/workflows/mine/decide").json() == {"decided": "mine"}
        assert_problem(client.post("/workflows/theirs/decide"), 403, "permission_denied")
        assert_problem(client.post("/workflows/nowhere/decide"), 404, "not_found")
        without = Api(make_token(tenant, requester, ["workitems:read"]))
        assert_problem(without.post("/workflows/mine/decide"), 403, "scope_missing")

    def test_scope_is_asked_before_existence_and_shape(self, tenant: Tenant, requester: User) -> None:
        client = Api(make_token(tenant, requester, ["workitems:read"]))
        assert_problem(client.post("/channels", b"{"), 403, "scope_missing")
        assert_problem(client.patch("/channels/nowhere", {}), 403, "scope_missing")

    def test_head_needs_the_scope_of_get(self, tenant: Tenant) -> None:
        client = Api(make_token(tenant, make_principal(tenant, "polly", roles=["policy_author"]), ["policies:write"]))
        assert client.send("HEAD", "/channels").status_code == 403
        assert client.send("HEAD", "/me").status_code == 200

    def test_a_method_without_a_scope_is_not_allowed(self, client: Api) -> None:
        for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
            response = client.send(method, "/channels")
            assert_problem(response, 405, "method_not_allowed")
            assert response.headers["Allow"] == "GET, POST, HEAD"


class TestLastUse:
    def test_it_is_noted_once_a_minute_at_most(self, tenant: Tenant, client: Api) -> None:
        def last_used() -> object:
            with unit_of_work(tenant.id):
                return Credential.objects.get().last_used_at

        assert last_used() is None
        client.get("/me")
        assert last_used() is not None
        recently, long_ago = clock.now() - timedelta(seconds=30), clock.now() - timedelta(seconds=61)
        change_credential(tenant, last_used_at=recently)
        client.get("/me")
        assert last_used() == recently
        change_credential(tenant, last_used_at=long_ago)
        client.get("/me")
        assert last_used() > recently

    def test_a_refused_use_is_none(self, tenant: Tenant, client: Api) -> None:
        client.get("/me", headers={"Threada-Tenant": "globex"})
        with unit_of_work(tenant.id):
            assert Credential.objects.get().last_used_at is None
