"""Tokens of trusted issuers: what they act as, and everything that is refused."""

from __future__ import annotations

import hmac
import time
from base64 import urlsafe_b64encode
from typing import Any

import orjson
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from telemetry.models import Receipt
from tests.client import Api
from tests.factories import acting_system, make_principal, make_tenant, make_token
from tests.jobs import queued_jobs, run_jobs
from tests.threada_site.api.conftest import assert_problem, refusals_of
from tests.threada_site.identity.trusted_issuers.conftest import trust
from tests.threada_site.identity.trusted_issuers.issuer import PUBLIC_URL, Issuer, mapping
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.principals import remove_member
from threada_site.identity.trusted_issuers.configure import withdraw_trusted_issuer
from threada_site.tenancy.models import Membership, Tenant, TrustedIssuer, User

UNTRUSTED = "workload_token_untrusted"


def me(token: str, **headers: str) -> Any:
    return Api(token, headers).get("/me")


def now() -> int:
    return int(time.time())


class TestAccepted:
    @pytest.mark.parametrize(
        ("algorithm", "key"),
        [
            ("RS256", None),
            ("PS256", None),
            ("ES256", ECKey.generate_key("P-256")),
            ("EdDSA", OKPKey.generate_key("Ed25519")),
        ],
    )
    def test_token_acts_as_the_mapped_service(
        self, tenant: Tenant, deployer: User, offline: Issuer, algorithm: str, key: Any
    ) -> None:
        offline.add_key("second", key)
        trust(tenant, offline, algorithms=[algorithm])
        answer = me(offline.token(kid="second", algorithm=algorithm))
        assert answer.status_code == 200, answer.json()
        found = answer.json()
        assert (found["name"], found["kind"], found["tenant"]) == ("deployer", "service", "acme")
        assert found["credential_id"] is None
        assert found["scopes"] == ["workitems:read", "workitems:write"]

    def test_token_needs_one_statement_more_than_a_stored_one(
        self, tenant: Tenant, deployer: User, offline: Issuer
    ) -> None:
        trust(tenant, offline)
        api, stored = Api(offline.token()), Api(make_token(tenant, deployer))
        counts = []
        for client in (stored, api):
            assert client.get("/work-items").status_code == 200
            with CaptureQueriesContext(connection) as queries:
                assert client.get("/work-items").status_code == 200
            counts.append(len(queries))
        assert counts[1] <= counts[0] + 1, counts

    def test_scopes_are_never_more_than_those_of_the_roles(
        self, tenant: Tenant, deployer: User, offline: Issuer
    ) -> None:
        trust(tenant, offline, mapping(scopes=["workitems:read", "workflow:manage"]))
        assert me(offline.token()).json()["scopes"] == ["workitems:read"]

    def test_mapping_narrows_the_roles(self, tenant: Tenant, offline: Issuer) -> None:
        make_principal(tenant, "deployer", "service", roles=["requester", "auditor"])
        trust(tenant, offline, mapping(roles=["requester"], scopes=["workitems:read", "telemetry:read"]))
        found = me(offline.token()).json()
        assert (found["roles"], found["scopes"]) == (["requester"], ["workitems:read"])

    def test_role_of_the_request_is_one_of_the_mapping(self, tenant: Tenant, offline: Issuer) -> None:
        make_principal(tenant, "deployer", "service", roles=["requester", "auditor"])
        trust(tenant, offline, mapping(roles=["requester"]))
        token = offline.token()
        assert me(token, **{"Threada-Role": "requester"}).json()["roles"] == ["requester"]
        assert_problem(me(token, **{"Threada-Role": "auditor"}), 403, "role_not_held")
        assert_problem(me(token, **{"Threada-Tenant": "other"}), 403, "tenant_mismatch")

    def test_name_can_come_from_a_claim(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        made = mapping(principal_from="claims.azp")
        del made["principal"]
        trust(tenant, offline, made)
        assert me(offline.token(azp="deployer")).json()["name"] == "deployer"
        assert_problem(me(offline.token(azp="Not A Slug")), 401, "workload_not_mapped")
        assert_problem(me(offline.token()), 401, "workload_not_mapped")

    def test_principal_is_created_once_with_owner_and_roles(self, tenant: Tenant, offline: Issuer) -> None:
        make_principal(tenant, "ann")
        made = mapping(principal="robot", roles=["requester"], create={"kind": "agent", "owner": "ann"})
        trust(tenant, offline, made)
        assert [me(offline.token()).json()["kind"] for _ in range(2)] == ["agent", "agent"]
        with unit_of_work(tenant.id):
            (member,) = Membership.objects.filter(user__username="robot").select_related("owner")
            assert member.owner is not None
            assert member.owner.username == "ann"
            assert Receipt.objects.filter(kind="principal.created").last() is not None

    def test_receipt_names_issuer_subject_and_token(self, tenant: Tenant, offline: Issuer) -> None:
        make_principal(tenant, "deployer", "service", roles=["requester"])
        trust(tenant, offline)
        Api(offline.token(jti="t-1")).post("/work-items", {"workflow_id": "none"})
        with unit_of_work(tenant.id):
            receipt = Receipt.objects.filter(kind="request.refused").latest("id")
        assert orjson.loads(bytes(receipt.body))["actor"]["workload"] == {
            "trusted_issuer": "ci",
            "issuer": offline.name,
            "subject": "repo:acme/payments",
            "token_id": "t-1",
        }


class TestRefused:
    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"exp": now() - 60}, "workload_token_expired"),
            ({"iat": now() + 3000, "exp": now() + 4000}, "workload_token_not_yet_valid"),
            ({"nbf": now() + 3000}, "workload_token_not_yet_valid"),
            ({"iat": now() - 7200, "exp": now() + 7200}, "workload_token_expired"),
            ({"aud": f"{PUBLIC_URL}/other"}, UNTRUSTED),
            ({"aud": "https://elsewhere.test"}, UNTRUSTED),
            ({"iss": "https://unknown.test"}, UNTRUSTED),
            ({"iss": "https://issuer.test/"}, UNTRUSTED),
            ({"repository": "acme/other"}, UNTRUSTED),
            ({"drop": ("repository",)}, UNTRUSTED),
            ({"drop": ("exp",)}, "workload_token_malformed"),
            ({"drop": ("iat",)}, "workload_token_malformed"),
            ({"drop": ("aud",)}, "workload_token_malformed"),
            ({"drop": ("sub",)}, "workload_token_malformed"),
            ({"drop": ("kid",)}, "workload_token_malformed"),
            ({"exp": "tomorrow"}, "workload_token_malformed"),
            ({"aud": []}, "workload_token_malformed"),
            ({"header": {"kid": "unknown"}}, UNTRUSTED),
            ({"algorithm": "PS256"}, UNTRUSTED),
        ],
    )
    def test_claims_and_keys(
        self, tenant: Tenant, deployer: User, offline: Issuer, changes: dict[str, Any], reason: str
    ) -> None:
        trust(tenant, offline)
        answer = me(offline.token(**changes))
        assert_problem(answer, 401, reason)
        challenge = answer.headers["WWW-Authenticate"]
        assert f'resource_metadata="{PUBLIC_URL}/.well-known/oauth-protected-resource"' in challenge
        assert 'error="invalid_token"' in challenge

    def test_token_without_signature(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        unsigned = offline.token(algorithm="none", key=OctKey.import_key("x" * 32))
        assert unsigned.endswith(".")
        assert_problem(me(unsigned), 401, "workload_algorithm_refused")

    def test_hmac_with_the_public_key(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        public = offline.keys["first"].as_pem(private=False)
        head = _encoded(b'{"alg":"HS256","kid":"first"}')
        _, body, _ = offline.token().split(".")
        signature = hmac.digest(public, f"{head}.{body}".encode(), "sha256")
        assert_problem(me(f"{head}.{body}.{_encoded(signature)}"), 401, "workload_algorithm_refused")

    def test_key_of_somebody_else(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        forged = offline.token(key=RSAKey.generate_key(2048))
        assert_problem(me(forged), 401, UNTRUSTED)
        head, body, _ = offline.token().split(".")
        assert_problem(me(f"{head}.{body}.AAAA"), 401, UNTRUSTED)

    def test_keys_in_the_header_are_not_used(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        own = RSAKey.generate_key(2048)
        forged = offline.token(key=own, header={"jwk": own.as_dict(private=False)})
        assert_problem(me(forged), 401, UNTRUSTED)

    @pytest.mark.parametrize(
        "garbage", ["a.b.c", "e30.e30.e30", "eyJhbGciOiJSUzI1NiJ9.bm8.x", "....".replace("..", "a.")]
    )
    def test_garbage_needs_no_statement(self, db: None, garbage: str) -> None:
        with CaptureQueriesContext(connection) as queries:
            answer = me(garbage)
        assert answer.status_code == 401
        assert [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]] == []

    def test_long_tokens_are_not_read(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        assert_problem(me(offline.token(padding="x" * 20_000)), 401, "credential_invalid")

    def test_two_mappings_are_ambiguous(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline, mapping(), mapping(when="true", scopes=["workitems:read"]))
        assert_problem(me(offline.token()), 401, "workload_not_mapped")

    def test_person_is_never_acted_as(self, tenant: Tenant, offline: Issuer) -> None:
        make_principal(tenant, "deployer", "human")
        trust(tenant, offline)
        assert_problem(me(offline.token()), 401, "workload_is_person")

    def test_unknown_principal(self, tenant: Tenant, offline: Issuer) -> None:
        trust(tenant, offline)
        assert_problem(me(offline.token()), 401, "workload_not_mapped")

    def test_member_that_was_removed_a_moment_ago(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        token = offline.token()
        assert me(token).status_code == 200
        with unit_of_work(tenant.id):
            remove_member(deployer, ctx=acting_system(tenant))
        assert_problem(me(token), 401, "workload_not_mapped")

    def test_principal_that_was_removed_is_not_created_again(self, tenant: Tenant, offline: Issuer) -> None:
        make_principal(tenant, "ann")
        trust(tenant, offline, mapping(principal="robot", create={"kind": "service", "owner": "ann"}))
        assert me(offline.token()).status_code == 200
        with unit_of_work(tenant.id):
            remove_member(User.objects.get(username="robot"), ctx=acting_system(tenant))
        assert_problem(me(offline.token()), 401, "workload_not_mapped")

    def test_inactive_principal_leaves_a_receipt(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        User.objects.filter(id=deployer.id).update(is_active=False)
        assert_problem(me(offline.token()), 403, "principal_inactive")
        assert refusals_of(tenant) == [("principal_inactive",)]

    def test_withdrawn_issuer(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        trust(tenant, offline)
        token = offline.token()
        with unit_of_work(tenant.id):
            withdraw_trusted_issuer("ci", ctx=acting_system(tenant))
        assert_problem(me(token), 401, UNTRUSTED)

    def test_answers_do_not_tell_if_an_issuer_is_registered(
        self, tenant: Tenant, deployer: User, offline: Issuer
    ) -> None:
        trust(tenant, offline)
        stranger = Issuer(name=offline.name)
        answers = [
            me(stranger.token(kid="first")),
            me(offline.token(header={"kid": "unknown"})),
            me(offline.token(iss="https://unknown.test")),
            me(offline.token(aud=f"{PUBLIC_URL}/nobody")),
            me(offline.token(repository="acme/other")),
        ]
        bodies = [{key: value for key, value in answer.json().items() if key != "correlation_id"} for answer in answers]
        assert all(body == bodies[0] for body in bodies)
        assert bodies[0]["reason_code"] == UNTRUSTED


class TestTenantsApart:
    def test_audience_determines_the_tenant(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        other = make_tenant("globex")
        make_principal(other, "deployer", "service", roles=["requester"])
        trust(tenant, offline)
        trust(other, offline)
        assert me(offline.token()).json()["tenant"] == "acme"
        assert me(offline.token(aud=f"{PUBLIC_URL}/globex")).json()["tenant"] == "globex"
        both = offline.token(aud=[f"{PUBLIC_URL}/acme", f"{PUBLIC_URL}/globex"])
        assert_problem(me(both), 401, UNTRUSTED)


class TestKeys:
    def test_keys_are_fetched_by_a_job_and_rotate(self, tenant: Tenant, deployer: User, online: Issuer) -> None:
        row = trust(tenant, online)
        assert me(online.token()).status_code == 200
        assert online.receiver is not None
        fetched = len(online.receiver.requests("/jwks"))
        online.add_key("second")
        token = online.token(kid="second")
        assert_problem(me(token), 401, UNTRUSTED)
        assert queued_jobs() == []  # the keys are younger than a minute
        _age_keys(tenant, row)
        assert_problem(me(online.token(kid="third", key=online.keys["second"])), 401, UNTRUSTED)
        assert len(online.receiver.requests("/jwks")) == fetched  # not fetched inside of the request
        assert [task for task, _ in queued_jobs()] == ["integrations.fetch_issuer_keys"]
        run_jobs()
        assert me(token).status_code == 200
        online.retire("first")
        _age_keys(tenant, row)
        assert_problem(me(online.token(kid="fourth", key=online.keys["second"])), 401, UNTRUSTED)
        run_jobs()
        assert_problem(me(online.token(kid="first", key=RSAKey.generate_key(2048))), 401, UNTRUSTED)

    def test_unknown_key_ids_are_asked_for_once(self, tenant: Tenant, deployer: User, online: Issuer) -> None:
        row = trust(tenant, online)
        _age_keys(tenant, row)
        for kid in ("a", "a", "b", "c"):
            assert_problem(me(online.token(kid=kid, key=online.keys["first"])), 401, UNTRUSTED)
        assert len(queued_jobs()) == 1

    def test_discovery_of_another_issuer_is_refused(self, tenant: Tenant, deployer: User, online: Issuer) -> None:
        online.publish(issuer="https://somebody.test")
        row = trust(tenant, online)
        with unit_of_work(tenant.id):
            row = TrustedIssuer.objects.get(id=row.id)
        assert "another issuer" in row.keys_problem
        assert_problem(me(online.token()), 401, UNTRUSTED)

    def test_old_keys_are_not_trusted(self, tenant: Tenant, deployer: User, online: Issuer) -> None:
        row = trust(tenant, online)
        _age_keys(tenant, row, hours=25)
        assert_problem(me(online.token()), 401, UNTRUSTED)


def _age_keys(tenant: Tenant, row: TrustedIssuer, *, hours: int = 1) -> None:
    with unit_of_work(tenant.id), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE tenancy_trustedissuer SET keys_fetched_at = keys_fetched_at - make_interval(hours => %s), "
            "keys_tried_at = keys_tried_at - make_interval(hours => %s), keys_wanted_at = NULL WHERE id = %s",
            [hours, hours, row.id],
        )


def _encoded(part: bytes) -> str:
    return urlsafe_b64encode(part).decode().rstrip("=")
