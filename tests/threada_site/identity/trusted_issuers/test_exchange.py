"""Token exchange (RFC 8693): what is issued, what is refused and how, and what ends the issued tokens."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from telemetry.models import Receipt
from tests.client import Api
from tests.factories import acting_system, make_principal, make_tenant, make_token
from tests.threada_site.api.conftest import assert_problem, refusals_of
from tests.threada_site.identity.trusted_issuers.conftest import trust
from tests.threada_site.identity.trusted_issuers.issuer import PUBLIC_URL, Issuer, mapping
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.principals import remove_member
from threada_site.identity.trusted_issuers.configure import withdraw_trusted_issuer
from threada_site.identity.trusted_issuers.expired_tokens import delete_expired_tokens
from threada_site.kernel import clock, tokens
from threada_site.tenancy.models import Credential, Tenant, User

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
FORM = "application/x-www-form-urlencoded"


def post(body: str, content_type: str = FORM, **headers: str) -> Any:
    return Client().post("/token", body, content_type=content_type, headers=headers)


def exchange(token: str, **fields: str) -> Any:
    said = {"grant_type": GRANT, "subject_token_type": JWT, "subject_token": token, **fields}
    return post(urlencode({name: value for name, value in said.items() if value != "-"}))


def exchanged(token: str, **fields: str) -> str:
    answer = exchange(token, **fields)
    assert answer.status_code == 200, answer.json()
    return str(answer.json()["access_token"])


def assert_refused(answer: Any, status: int, error: str, reason: str) -> None:
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json"), answer.content
    found = answer.json()
    assert (found["error"], found["reason_code"]) == (error, reason), found
    assert found["correlation_id"] == answer.headers["Threada-Correlation-Id"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert not set(found["error_description"]) & set('"\\')


def credentials_of(tenant: Tenant) -> list[Credential]:
    with unit_of_work(tenant.id):
        return list(Credential.objects.filter(trusted_issuer_version_id__isnull=False).order_by("id"))


class TestIssued:
    def test_token_acts_as_the_mapped_service_until_the_subject_token_ends(
        self, tenant: Tenant, deployer: User, offline: Issuer
    ) -> None:
        trust(tenant, offline)
        subject = offline.token(jti="t-1")
        answer = exchange(subject)
        assert answer.status_code == 200, answer.json()
        found = answer.json()
        assert answer.headers["Cache-Control"] == "no-store"
        assert found.keys() == {"access_token", "issued_token_type", "token_type", "expires_in", "scope"}
        assert (found["issued_token_type"], found["token_type"]) == (ACCESS_TOKEN, "Bearer")
        assert found["scope"] == "workitems:read workitems:write"
        assert 0 < found["expires_in"] <= 300
        assert tokens.is_well_formed(found["access_token"])
        me = Api(found["access_token"]).get("/me").json()
        assert (me["name"], me["kind"], me["tenant"]) == ("deployer", "service", "acme")
        assert me["scopes"] == ["workitems:read", "workitems:write"]

    def test_only_digests_are_stored_and_the_receipt_names_the_subject_token(
        self, tenant: Tenant, deployer: User, offline: Issuer
    ) -> None:
        row = trust(tenant, offline)
        subject = offline.token(jti="t-1")
        token = exchanged(subject)
        (credential,) = credentials_of(tenant)
        assert bytes(credential.token_sha256) == tokens.digest(token)
        assert credential.subject_token_sha256 is not None
        assert bytes(credential.subject_token_sha256) == tokens.digest(subject)
        assert credential.trusted_issuer_version_id == row.current_version_id
        with unit_of_work(tenant.id):
            body = bytes(Receipt.objects.filter(kind="credential.issued").latest("id").body)
        said = orjson.loads(body)
        assert said["inputs"]["exchanged"] == {
            "trusted_issuer": "ci",
            "subject_token_sha256": tokens.digest(subject).hex(),
        }
        assert said["actor"]["workload"]["token_id"] == "t-1"
        assert token.encode() not in body
        assert subject.encode() not in body

    def test_statements_of_a_request_with_an_exchanged_token(
        self, tenant: Tenant, deployer: User, offline: Issuer
    ) -> None:
        trust(tenant, offline)
        counts = []
        for token in (make_token(tenant, deployer), exchanged(offline.token())):
            api = Api(token)
            assert api.get("/work-items").status_code == 200
            with CaptureQueriesContext(connection) as queries:
                assert api.get("/work-items").status_code == 200
            counts.append(len(queries))
        assert counts[0] == counts[1]

    def test_scopes_that_are_asked_for(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        token = exchanged(offline.token(), scope="workitems:read")
        assert Api(token).get("/me").json()["scopes"] == ["workitems:read"]

    def test_roles_of_the_mapping(self, tenant: Tenant, offline: Issuer) -> None:
        make_principal(tenant, "deployer", "service", roles=["requester", "auditor"])
        trust(tenant, offline, mapping(roles=["requester"], scopes=["workitems:read", "telemetry:read"]))
        me = Api(exchanged(offline.token())).get("/me").json()
        assert (me["roles"], me["scopes"]) == (["requester"], ["workitems:read"])

    def test_lifetime_of_the_mapping(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline, mapping(lifetime_minutes=2))
        assert exchange(offline.token(exp=int(time.time()) + 7200)).json()["expires_in"] <= 120

    def test_targets(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        said = [("grant_type", GRANT), ("subject_token_type", JWT), ("subject_token", offline.token())]
        accepted = [("resource", PUBLIC_URL), ("audience", f"{PUBLIC_URL}/acme"), ("resource", f"{PUBLIC_URL}/")]
        assert post(urlencode([*said, *accepted])).status_code == 200


class TestRefused:
    @pytest.mark.parametrize(
        ("fields", "error", "reason"),
        [
            ({"grant_type": "-"}, "invalid_request", "token_request_invalid"),
            ({"grant_type": "client_credentials"}, "unsupported_grant_type", "token_grant_unsupported"),
            ({"subject_token": "-"}, "invalid_request", "token_request_invalid"),
            ({"subject_token": ""}, "invalid_request", "token_request_invalid"),
            ({"subject_token": "thr_abc"}, "invalid_request", "token_request_invalid"),
            ({"subject_token": "e30.e30.e30.e30.e30"}, "invalid_request", "token_request_invalid"),
            ({"subject_token": f"a.{'b' * 17_000}.c"}, "invalid_request", "token_request_invalid"),
            ({"subject_token": "a.b.c"}, "invalid_request", "workload_token_malformed"),
            ({"subject_token_type": "-"}, "invalid_request", "token_request_invalid"),
            ({"subject_token_type": ACCESS_TOKEN}, "invalid_request", "token_request_invalid"),
            ({"requested_token_type": JWT}, "invalid_request", "token_request_invalid"),
            ({"actor_token": "a.b.c"}, "invalid_request", "token_request_invalid"),
            ({"scope": "everything"}, "invalid_scope", "token_scope_invalid"),
            ({"scope": "workitems:read telemetry:read"}, "invalid_scope", "token_scope_invalid"),
            ({"scope": "actions:execute"}, "invalid_scope", "token_scope_invalid"),
            ({"audience": f"{PUBLIC_URL}/globex"}, "invalid_target", "token_target_invalid"),
            ({"resource": "https://elsewhere.test"}, "invalid_target", "token_target_invalid"),
            ({"resource": "acme"}, "invalid_target", "token_target_invalid"),
        ],
    )
    def test_requests(
        self, tenant: Tenant, deployer: User, offline: Issuer, fields: dict[str, str], error: str, reason: str
    ) -> None:
        trust(tenant, offline)
        assert_refused(exchange(**{"token": offline.token(), **fields}), 400, error, reason)
        assert credentials_of(tenant) == []

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"exp": 5}, "workload_token_expired"),
            ({"aud": "https://elsewhere.test"}, "workload_token_untrusted"),
            ({"iss": "https://unknown.test"}, "workload_token_untrusted"),
            ({"repository": "other/x"}, "workload_token_untrusted"),
            ({"header": {"kid": "unknown"}}, "workload_token_untrusted"),
        ],
    )
    def test_subject_tokens(
        self, tenant: Tenant, deployer: User, offline: Issuer, changes: dict[str, Any], reason: str
    ) -> None:
        trust(tenant, offline)
        assert_refused(exchange(offline.token(**changes)), 400, "invalid_request", reason)

    def test_token_within_the_leeway_after_its_end(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        ended = offline.token(exp=int(time.time()) - 10)
        assert Api(ended).get("/me").status_code == 200
        assert_refused(exchange(ended), 400, "invalid_request", "workload_token_expired")

    def test_forms(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        said = {"grant_type": GRANT, "subject_token_type": JWT, "subject_token": offline.token()}
        whole = urlencode(said)
        malformed = ("invalid_request", "token_request_invalid")
        for body in (whole + "&scope=a&scope=b", whole + "&scope=%FF", "&" * 60, "nothing", "a=b;" * 9, ""):
            assert_refused(post(body), 400, *malformed)
        assert_refused(post(orjson.dumps(said).decode(), "application/json"), 400, *malformed)
        assert_refused(post(whole + "&x=" + "y" * 70_000), 400, "invalid_request", "payload_too_large")
        assert_refused(post(whole, Authorization="Basic YTpi"), 401, "invalid_client", "token_client_refused")
        assert post(whole + "&client_id=anything&unknown=1&audience=").status_code == 200
        assert Client().get("/token").status_code == 405
        assert "access_token" not in str(Client().post(f"/token?{whole}", "", content_type=FORM).json())

    def test_person_is_never_issued_a_token(self, tenant: Tenant, offline: Issuer) -> None:
        make_principal(tenant, "deployer", roles=["requester"])
        trust(tenant, offline)
        assert_refused(exchange(offline.token()), 400, "invalid_request", "workload_is_person")

    def test_service_without_any_of_the_scopes(self, tenant: Tenant, offline: Issuer) -> None:
        make_principal(tenant, "deployer", "service", roles=[])
        trust(tenant, offline)
        assert_refused(exchange(offline.token()), 400, "invalid_scope", "token_scope_invalid")
        assert refusals_of(tenant) == [("token_scope_invalid",)]

    def test_failures_use_up_the_limit_of_the_address(
        self, tenant: Tenant, deployer: User, offline: Issuer, settings: Settings
    ) -> None:
        settings.THREADA_RATE_LIMITS = {**settings.THREADA_RATE_LIMITS, "address": 1}
        settings.THREADA_RATE_BURST_SECONDS = 3
        trust(tenant, offline)
        forged = [offline.token(aud="https://elsewhere.test") for _ in range(8)]
        answers = [exchange(token) for token in forged]
        assert_refused(answers[0], 400, "invalid_request", "workload_token_untrusted")
        assert_refused(answers[-1], 429, "temporarily_unavailable", "rate_limited")
        assert int(answers[-1].headers["Retry-After"]) > 0
        assert refusals_of(tenant) == []

    def test_exchanges_draw_from_the_limit_of_the_principal(
        self, tenant: Tenant, deployer: User, offline: Issuer, settings: Settings
    ) -> None:
        settings.THREADA_RATE_LIMITS = {**settings.THREADA_RATE_LIMITS, "credential": 1}
        settings.THREADA_RATE_BURST_SECONDS = 3
        trust(tenant, offline)
        statuses = [exchange(offline.token()).status_code for _ in range(12)]
        assert (statuses[0], statuses[-1]) == (200, 429)

    def test_quotas(self, tenant: Tenant, deployer: User, offline: Issuer, settings: Settings) -> None:
        trust(tenant, offline, mapping(), mapping(when='claims.repository == "acme/b"', principal="second"))
        make_principal(tenant, "second", "service", roles=["requester"])
        settings.THREADA_EXCHANGED_TOKENS = 2
        settings.THREADA_QUOTAS = {**settings.THREADA_QUOTAS, "exchanged_tokens": 3}
        assert [exchange(offline.token()).status_code for _ in range(3)] == [200, 200, 400]
        assert exchange(offline.token(repository="acme/b")).status_code == 200
        refused = exchange(offline.token(repository="acme/b"))
        assert_refused(refused, 400, "invalid_request", "quota_exceeded")
        with unit_of_work(tenant.id):
            Credential.objects.filter(user=deployer).update(revoked_at=clock.now())
        assert exchange(offline.token(repository="acme/b")).status_code == 200


class TestEnd:
    """Ends of exchanged tokens: the next request with one is refused."""

    def test_withdrawn_issuer(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        token = exchanged(offline.token())
        with unit_of_work(tenant.id):
            withdraw_trusted_issuer("ci", ctx=acting_system(tenant))
        assert_problem(Api(token).get("/me"), 401, "credential_revoked")

    def test_another_version_of_the_issuer(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        token = exchanged(offline.token())
        trust(tenant, offline, mapping(scopes=["workitems:read"]))
        assert_problem(Api(token).get("/me"), 401, "credential_revoked")

    def test_principal_is_deactivated(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        token = exchanged(offline.token())
        User.objects.filter(id=deployer.id).update(is_active=False)
        assert_problem(Api(token).get("/me"), 403, "principal_inactive")
        assert_refused(exchange(offline.token()), 400, "invalid_request", "principal_inactive")

    def test_principal_is_removed(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        subject = offline.token()
        token = exchanged(subject)
        with unit_of_work(tenant.id):
            remove_member(deployer, ctx=acting_system(tenant))
        assert_problem(Api(token).get("/me"), 401, "credential_revoked")
        assert_refused(exchange(subject), 400, "invalid_request", "workload_not_mapped")

    def test_principal_became_a_person(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        token = exchanged(offline.token())
        User.objects.filter(id=deployer.id).update(kind="human", home_tenant=None)
        assert_problem(Api(token).get("/me"), 401, "credential_revoked")

    def test_expired_tokens_are_refused_and_deleted(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        token, live, stored = exchanged(offline.token()), exchanged(offline.token()), make_token(tenant, deployer)
        with unit_of_work(tenant.id):
            Credential.objects.filter(token_sha256=tokens.digest(token)).update(
                expires_at=clock.now() - timedelta(hours=2)
            )
        assert_problem(Api(token).get("/me"), 401, "credential_expired")
        assert delete_expired_tokens(now=clock.now()) == 1
        assert_problem(Api(token).get("/me"), 401, "credential_invalid")
        assert Api(live).get("/me").status_code == Api(stored).get("/me").status_code == 200


def test_tenants_are_apart(tenant: Tenant, deployer: User, offline: Issuer) -> None:
    other = make_tenant("globex")
    make_principal(other, "deployer", "service", roles=["requester"])
    trust(tenant, offline)
    trust(other, offline)
    token = exchanged(offline.token(aud=f"{PUBLIC_URL}/globex"))
    assert Api(token).get("/me").json()["tenant"] == "globex"
    assert_problem(Api(token, {"Threada-Tenant": "acme"}).get("/me"), 403, "tenant_mismatch")
    assert credentials_of(tenant) == []


def test_metadata_names_the_endpoint(db: None) -> None:
    resource = Api().get("/.well-known/oauth-protected-resource").json()
    assert resource["authorization_servers"] == [PUBLIC_URL]
    server = Api().get("/.well-known/oauth-authorization-server")
    assert server.headers["Cache-Control"] == "public, max-age=3600"
    found = server.json()
    assert (found["issuer"], found["token_endpoint"]) == (PUBLIC_URL, f"{PUBLIC_URL}/token")
    assert found["grant_types_supported"] == [GRANT]
    assert found["token_endpoint_auth_methods_supported"] == ["none"]
