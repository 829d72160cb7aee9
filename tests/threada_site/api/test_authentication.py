"""From token to context: everything missing, unknown or mismatched is refused and recorded."""

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
from threada_site.identity.credentials import revoke_credential
from threada_site.identity.grants.object_grants import grant_scope_on
from threada_site.identity.grants.role_grants import withdraw_role
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
    def test_malformed_token_is_refused_without_a_query(self, db: None, header: str) -> None:
        with CaptureQueriesContext(connection) as queries:
            response = Api(headers={"Authorization": header}).get("/me")
        assert_problem(response, 401, "credential_invalid")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="threada"'
        assert [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]] == []

    def test_missing_token_is_refused(self, db: None) -> None:
        response = Api().get("/me")
        assert_problem(response, 401, "credential_missing")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="threada"'

    def test_unknown_token_is_refused(self, tenant: Tenant) -> None:
        assert_problem(Api(tokens.new_token()).get("/me"), 401, "credential_invalid")
        assert refusals_of(tenant) == []

    def test_token_with_one_wrong_character_fails_the_checksum(self, token: str) -> None:
        spoiled = token[:10] + ("a" if token[10] != "a" else "b") + token[11:]
        assert_problem(Api(spoiled).get("/me"), 401, "credential_invalid")

    def test_scheme_is_case_insensitive(self, token: str) -> None:
        assert Api(headers={"Authorization": f"bEARER  {token} "}).get("/me").status_code == 200

    def test_expired_token_is_refused(self, tenant: Tenant, client: Api) -> None:
        change_credential(tenant, expires_at=clock.now() - timedelta(minutes=5))
        response = client.get("/me")
        assert_problem(response, 401, "credential_expired")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="threada"'
        assert refusals_of(tenant) == [("credential_expired",)]

    def test_revoked_token_is_refused(self, tenant: Tenant, client: Api) -> None:
        with unit_of_work(tenant.id):
            revoke_credential(Credential.objects.get(), ctx=acting_system(tenant))
        assert_problem(client.get("/me"), 401, "credential_revoked")
        assert refusals_of(tenant) == [("credential_revoked",)]

    def test_inactive_principal_is_refused(self, tenant: Tenant, client: Api, requester: User) -> None:
        User.objects.filter(id=requester.id).update(is_active=False)
        assert_problem(client.get("/me"), 403, "principal_inactive")
        assert refusals_of(tenant) == [("principal_inactive",)]

    def test_inactive_tenant_is_refused(self, tenant: Tenant, client: Api) -> None:
        Tenant.objects.filter(id=tenant.id).update(is_active=False)
        assert_problem(client.get("/me"), 403, "principal_inactive")

    def test_principal_that_left_the_tenant_is_refused(self, tenant: Tenant, client: Api, requester: User) -> None:
        with unit_of_work(tenant.id):
            requester.memberships.all().delete()
        assert_problem(client.get("/me"), 403, "principal_inactive")

    def test_refusal_reveals_no_permissions(self, tenant: Tenant, client: Api) -> None:
        change_credential(tenant, expires_at=clock.now() - timedelta(minutes=5))
        assert_problem(client.post("/channels", {"slug": "web"}), 401, "credential_expired")
        with unit_of_work(tenant.id):
            body = bytes(Receipt.objects.get(kind="request.refused").body)
        assert b'"roles"' not in body


class TestTenantHeader:
    def test_matching_header_is_accepted(self, client: Api) -> None:
        assert client.get("/me", headers={"Threada-Tenant": "acme"}).json()["tenant"] == "acme"

    @pytest.mark.parametrize("sent", ["globex", "nowhere"])
    def test_header_of_another_tenant_is_refused(
        self, tenant: Tenant, other_tenant: Tenant, client: Api, sent: str
    ) -> None:
        assert_problem(client.get("/me", headers={"Threada-Tenant": sent}), 403, "tenant_mismatch")
        assert refusals_of(tenant) == [("tenant_mismatch",)]
        assert refusals_of(other_tenant) == []

    @pytest.mark.parametrize("sent", ["", "Acme", "acme'--", "a" * 64, "\u00e4"])
    def test_malformed_header_is_refused(self, client: Api, sent: str) -> None:
        assert_problem(client.get("/me", headers={"Threada-Tenant": sent}), 403, "tenant_mismatch")

    @pytest.mark.parametrize("kind", ["human", "service", "agent"])
    def test_header_is_optional_whatever_other_tenants_have(
        self, tenant: Tenant, other_tenant: Tenant, kind: str
    ) -> None:
        client = Api(make_token(tenant, make_principal(tenant, "sync", kind, ["viewer"])))
        theirs = Api(make_token(other_tenant, make_principal(other_tenant, "sync", kind, ["viewer"])))
        assert [api.get("/me").json()["tenant"] for api in (client, theirs)] == ["acme", "globex"]
        assert_problem(client.get("/me", headers={"Threada-Tenant": "globex"}), 403, "tenant_mismatch")


class TestRoleHeader:
    def test_header_narrows_permissions_to_one_role(self, tenant: Tenant, api: type[Api]) -> None:
        token = make_token(tenant, make_principal(tenant, "olga", roles=["operator", "viewer"]))
        assert api(token).get("/me").json()["roles"] == ["operator", "viewer"]
        narrowed = api(token, headers={"Threada-Role": "viewer"})
        me = narrowed.get("/me").json()
        assert (me["roles"], me["scopes"]) == (["viewer"], ["workitems:read"])
        assert_problem(narrowed.post("/channels", {"slug": "web"}), 403, "scope_missing")

    @pytest.mark.parametrize("role", ["tenant_admin", "emperor", "", "\u00e4"])
    def test_role_that_is_not_assigned_is_refused(self, tenant: Tenant, client: Api, role: str) -> None:
        assert_problem(client.get("/me", headers={"Threada-Role": role}), 403, "role_not_held")
        assert refusals_of(tenant) == [("role_not_held",)]

    def test_header_never_widens_the_scopes_of_the_credential(self, tenant: Tenant, requester: User) -> None:
        token = make_token(tenant, requester, ["workitems:read"])
        me = Api(token, headers={"Threada-Role": "requester"}).get("/me").json()
        assert me["scopes"] == ["workitems:read"]


class TestRights:
    def test_withdrawing_a_role_takes_effect_at_once(self, tenant: Tenant, client: Api, requester: User) -> None:
        assert client.get("/channels").status_code == 200
        with unit_of_work(tenant.id):
            withdraw_role(requester, "requester", ctx=acting_system(tenant))
        assert_problem(client.get("/channels"), 403, "scope_missing")

    def test_scope_on_one_workflow_applies_there_only(self, tenant: Tenant, requester: User) -> None:
        with unit_of_work(tenant.id):
            mine, _ = [Workflow.objects.create(tenant_id=tenant.id, slug=slug) for slug in ("mine", "theirs")]
            grant_scope_on(requester, Scope.DECISIONS_DECIDE, mine, ctx=acting_system(tenant))
        client = Api(make_token(tenant, requester, ["decisions:decide"]))
        assert client.get("/me").json()["scopes"] == []
        assert client.post("/workflows/mine/decide").json() == {"decided": "mine"}
        assert_problem(client.post("/workflows/theirs/decide"), 403, "permission_denied")
        assert_problem(client.post("/workflows/nowhere/decide"), 404, "not_found")
        without = Api(make_token(tenant, requester, ["workitems:read"]))
        assert_problem(without.post("/workflows/mine/decide"), 403, "scope_missing")

    def test_scope_is_checked_before_existence_and_shape(self, tenant: Tenant, requester: User) -> None:
        client = Api(make_token(tenant, requester, ["workitems:read"]))
        assert_problem(client.post("/channels", b"{"), 403, "scope_missing")
        assert_problem(client.patch("/channels/nowhere", {}), 403, "scope_missing")

    def test_head_requires_the_scope_of_get(self, tenant: Tenant) -> None:
        client = Api(make_token(tenant, make_principal(tenant, "polly", roles=["policy_author"]), ["policies:write"]))
        assert client.send("HEAD", "/channels").status_code == 403
        assert client.send("HEAD", "/me").status_code == 200

    def test_method_without_a_scope_is_not_allowed(self, client: Api) -> None:
        for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"):
            response = client.send(method, "/channels")
            assert_problem(response, 405, "method_not_allowed")
            assert response.headers["Allow"] == "GET, POST, HEAD"


class TestLastUse:
    def test_last_use_is_recorded_once_a_minute_at_most(self, tenant: Tenant, client: Api) -> None:
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

    def test_refused_request_is_not_recorded_as_use(self, tenant: Tenant, client: Api) -> None:
        client.get("/me", headers={"Threada-Tenant": "globex"})
        with unit_of_work(tenant.id):
            assert Credential.objects.get().last_used_at is None
