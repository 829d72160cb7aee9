"""Hostile tokens and keys: each is refused with 401, costs little, and tells its sender nothing about a tenant."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from joserfc import jws
from joserfc.jwk import RSAKey
from pytest_django import Settings

from telemetry.models import Receipt
from telemetry.receipts import refusals
from tests.factories import acting_system, make_principal
from tests.threada_site.api.conftest import assert_problem, refusals_of
from tests.threada_site.identity.trusted_issuers.conftest import trust
from tests.threada_site.identity.trusted_issuers.issuer import ALGORITHMS, PUBLIC_URL, Issuer, mapping, spec
from tests.threada_site.identity.trusted_issuers.test_authenticate import UNTRUSTED, _age_keys, me
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.principals import remove_member
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.identity.trusted_issuers.keys import public_keys
from threada_site.kernel import clock
from threada_site.kernel.errors import DocumentInvalid
from threada_site.tenancy.models import Tenant, TrustedIssuer, User

MALFORMED = "workload_token_malformed"


def signed(issuer: Issuer, header: bytes, claims: bytes) -> str:
    """Return a token with exactly these bytes and a genuine signature."""
    text = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims))
    key = issuer.keys["first"]
    signature = jws.JWSRegistry(algorithms=ALGORITHMS).get_alg("RS256").sign(text, key)
    return (text + b"." + urlsafe_b64encode(signature).rstrip(b"=")).decode()


def claims_of(issuer: Issuer, **more: Any) -> dict[str, Any]:
    now = int(time.time())
    aud = f"{PUBLIC_URL}/acme"
    return {
        "iss": issuer.name,
        "sub": "s",
        "aud": aud,
        "iat": now,
        "exp": now + 300,
        "repository": "acme/payments",
    } | more


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({}, None),
        ({"typ": "at+jwt"}, None),
        ({"typ": "application/at+jwt"}, None),
        ({"typ": "JOSE"}, None),
        ({"x5t": "abc", "x5t#S256": "abc", "private": {"a": [1]}}, None),
        ({"jku": "https://evil.test/jwks", "x5u": "https://evil.test/x5u", "x5c": ["AAAA"]}, None),  # signed by our key
        ({"jku": 5}, UNTRUSTED),
        ({"x5c": {"a": 1}}, UNTRUSTED),
        ({"jwk": "none"}, UNTRUSTED),
        ({"typ": "logout+jwt"}, MALFORMED),
        ({"typ": "dpop+jwt"}, MALFORMED),
        ({"typ": "secevent+jwt"}, MALFORMED),
        ({"typ": 5}, MALFORMED),
        ({"cty": "JWT"}, MALFORMED),
        ({"crit": ["exp"]}, MALFORMED),
        ({"crit": []}, MALFORMED),
        ({"b64": False}, MALFORMED),
        ({"zip": "DEF"}, MALFORMED),
        ({"enc": "A128GCM"}, MALFORMED),
        ({"kid": ["first"]}, MALFORMED),
        ({"kid": {"$ne": ""}}, MALFORMED),
        ({"kid": "../../dev/null"}, UNTRUSTED),
        ({"kid": "first' OR '1'='1"}, UNTRUSTED),
        ({"alg": "RS256 "}, "workload_algorithm_refused"),
        ({"alg": ["RS256"]}, "workload_algorithm_refused"),
        ({"alg": "nOnE"}, "workload_algorithm_refused"),
        ({"alg": "RSA-OAEP"}, "workload_algorithm_refused"),
        ({"alg": "ES256"}, UNTRUSTED),
    ],
)
def test_headers(tenant: Tenant, deployer: User, offline: Issuer, header: dict[str, Any], reason: str | None) -> None:
    trust(tenant, offline, algorithms=["RS256", "ES256"])
    head = {"alg": "RS256", "kid": "first", **header}
    answer = me(signed(offline, orjson.dumps(head), orjson.dumps(claims_of(offline))))
    if reason is None:
        assert answer.status_code == 200, answer.json()
    else:
        assert_problem(answer, 401, reason)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"aud": [f"{PUBLIC_URL}/acme", "https://elsewhere.test"]}, None),
        ({"exp": time.time() + 7200.5}, None),
        ({"exp": 32_503_680_000}, None),  # the lifetime of the mapping limits it
        ({f"c{number}": number for number in range(1_000)}, None),
        ({"aud": [f"{PUBLIC_URL}/acme"] * 21}, MALFORMED),
        ({"aud": {"a": 1}}, MALFORMED),
        ({"aud": [["x"]]}, MALFORMED),
        ({"aud": [f"{PUBLIC_URL}/acme", None]}, MALFORMED),
        ({"exp": 10**15}, MALFORMED),
        ({"exp": -1}, MALFORMED),
        ({"exp": True}, MALFORMED),
        ({"exp": None}, MALFORMED),
        ({"nbf": None}, MALFORMED),
        ({"nbf": "0"}, MALFORMED),
        ({"sub": ""}, MALFORMED),
        ({"sub": "s" * 501}, MALFORMED),
        ({"iss": {"a": 1}}, MALFORMED),
        ({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}, MALFORMED),
        ({"repository": ["acme/payments"]}, UNTRUSTED),
        ({"repository": {"acme/payments": 1}}, UNTRUSTED),
        ({"repository": 5}, UNTRUSTED),
    ],
)
def test_claims(tenant: Tenant, deployer: User, offline: Issuer, claims: dict[str, Any], reason: str | None) -> None:
    trust(tenant, offline)
    answer = me(signed(offline, b'{"alg":"RS256","kid":"first"}', orjson.dumps(claims_of(offline, **claims))))
    if reason is None:
        assert answer.status_code == 200, answer.json()
    else:
        assert_problem(answer, 401, reason)


@pytest.mark.parametrize(
    "extra",
    [
        b'"sub":"other"',  # twice
        b'"exp":NaN',
        b'"exp":Infinity',
        b'"exp":1e400',
        b'"n":12345678901234567890123',
        b'"deep":' + b"[" * 2000 + b"]" * 2000,
        b'"text":"\\u0000"',
        b'"text":"\\ud800"',
        b'"text":"\xff"',
    ],
)
def test_claims_that_two_parsers_read_differently(
    tenant: Tenant, deployer: User, offline: Issuer, extra: bytes
) -> None:
    trust(tenant, offline)
    body = orjson.dumps(claims_of(offline))[:-1] + b"," + extra + b"}"
    assert_problem(me(signed(offline, b'{"alg":"RS256","kid":"first"}', body)), 401, MALFORMED)
    twice = b'{"alg":"none","alg":"RS256","kid":"first"}'
    assert_problem(me(signed(offline, twice, orjson.dumps(claims_of(offline)))), 401, MALFORMED)


def test_encrypted_and_nested_tokens(tenant: Tenant, deployer: User, offline: Issuer) -> None:
    trust(tenant, offline)
    token = offline.token()
    assert_problem(me(f"{token}.e30.e30"), 401, "credential_invalid")  # JWE has five parts
    nested = signed(offline, b'{"alg":"RS256","kid":"first"}', b'"' + token.encode() + b'"')
    assert_problem(me(nested), 401, MALFORMED)


@pytest.mark.parametrize(
    ("changes", "is_usable"),
    [
        ({}, True),
        ({"key_ops": ["verify"]}, True),
        ({"x5c": ["AAAA"], "x5t": "AAAA"}, True),
        ({"use": "enc"}, False),
        ({"use": None}, False),
        ({"key_ops": ["encrypt"]}, False),
        ({"key_ops": "verify"}, False),
        ({"d": "AQAB"}, False),
        ({"e": "Aw"}, False),
        ({"e": "AQAAAAE"}, False),  # 2^32 + 1
        ({"kty": "oct", "k": "AAAA"}, False),
        ({"kid": 5}, False),
        ({"kid": "k" * 201}, False),
        ({"n": "AQAB"}, False),
        ({"n": ["x"]}, False),
    ],
)
def test_keys(changes: dict[str, Any], is_usable: bool) -> None:
    key = {**RSAKey.generate_key(2048).as_dict(private=False), "kid": "a"}
    found = public_keys({"keys": [{**key, **changes}]})
    assert bool(found) is is_usable
    assert all(found[kid].keys() == {"kty", "n", "e", "kid"} for kid in found)


def test_keys_of_unusual_size() -> None:
    listed = [{**RSAKey.generate_key(bits).as_dict(private=False), "kid": str(bits)} for bits in (1024, 2048)]
    large = urlsafe_b64encode((1 << 16_383 | 1).to_bytes(2048)).decode().rstrip("=")
    listed.append({"kty": "RSA", "n": large, "e": "AQAB", "kid": "16384"})
    assert list(public_keys({"keys": listed})) == ["2048"]
    assert public_keys({"keys": [listed[1], listed[1]]}) == {}  # one `kid` twice


class TestCosts:
    def test_conditions_of_a_document_together(self) -> None:
        issuer = Issuer()
        one = mapping(when='claims.groups.exists(g, g == "admins")')
        parse_trusted_issuer(spec(issuer, *[one] * 5))
        with pytest.raises(DocumentInvalid) as refused:
            parse_trusted_issuer(spec(issuer, *[one] * 100))
        assert [error.pointer for error in refused.value.errors] == ["/mappings"]

    def test_conditions_with_hostile_claims_together(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        one = [mapping(when=f'claims.groups.exists(g, g == "{number}")') for number in range(20)]
        trust(tenant, offline, *one)
        assert me(offline.token(groups=["7"])).status_code == 200
        begun = time.process_time()
        answer = me(offline.token(groups=[str(number) for number in range(20, 1_500)]))
        assert_problem(answer, 401, UNTRUSTED)
        assert time.process_time() - begun < 2

    def test_invented_key_ids_reach_the_database_once_a_minute(
        self, tenant: Tenant, deployer: User, online: Issuer
    ) -> None:
        _age_keys(tenant, trust(tenant, online))
        assert_problem(me(online.token(header={"kid": "invented"})), 401, UNTRUSTED)
        with CaptureQueriesContext(connection) as of_unknown_issuer:
            assert_problem(me(online.token(iss="https://unknown.test")), 401, UNTRUSTED)
        for number in range(3):
            with CaptureQueriesContext(connection) as queries:
                assert_problem(me(online.token(header={"kid": f"invented-{number}"})), 401, UNTRUSTED)
            assert len(queries) == len(of_unknown_issuer)


class TestDisclosure:
    def test_strangers_of_a_shared_issuer_learn_nothing(self, tenant: Tenant, deployer: User, offline: Issuer) -> None:
        """An issuer like that of GitHub signs tokens for everybody, also with the audience of another company."""
        trust(tenant, offline)
        unmapped, mapped_nowhere = offline.token(repository="stranger/x"), offline.token(aud=f"{PUBLIC_URL}/nobody")
        answers = [me(token).json() | {"correlation_id": ""} for token in (unmapped, mapped_nowhere)]
        assert answers[0] == answers[1]
        assert answers[0]["reason_code"] == UNTRUSTED

    def test_genuine_tokens_that_are_refused_are_counted_for_the_tenant(
        self, tenant: Tenant, deployer: User, offline: Issuer
    ) -> None:
        trust(tenant, offline, mapping(), mapping(when='claims.repository == "x/y"', principal="nobody-here"))
        for _ in range(3):
            me(offline.token(repository="stranger/x"))
        me(offline.token(repository="x/y"))
        me(offline.token(key=RSAKey.generate_key(2048)))  # forged: nobody's
        me(offline.token(iss="https://unknown.test"))
        assert refusals_of(tenant) == []
        refusals.counts.store()
        with unit_of_work(tenant.id):
            refusals.record_counted_refusals(now=clock.now() + timedelta(hours=1), ctx=acting_system(tenant))
            (receipt,) = Receipt.objects.filter(kind="requests.refused")
        outcome = orjson.loads(bytes(receipt.body))["outcome"]
        assert (outcome["reason_code"], outcome["count"]) == ("workload_not_mapped", 4)

    def test_token_is_never_logged(
        self, tenant: Tenant, deployer: User, offline: Issuer, caplog: pytest.LogCaptureFixture
    ) -> None:
        trust(tenant, offline)
        tokens = [offline.token(), offline.token(repository="x"), offline.token(exp=5), offline.token() + "AA"]
        for token in tokens:
            me(token)
        said = caplog.text
        assert "workload_token_untrusted" in said
        assert not any(part in said for token in tokens for part in token.split(".")[1:])


class TestChanges:
    def test_audience_that_the_operator_no_longer_allows(
        self, tenant: Tenant, deployer: User, offline: Issuer, settings: Settings
    ) -> None:
        settings.THREADA_WORKLOAD_AUDIENCES = ["acme=api://threada"]
        trust(tenant, offline, audience="api://threada")
        token = offline.token(aud="api://threada")
        assert me(token).status_code == 200
        settings.THREADA_WORKLOAD_AUDIENCES = []
        assert_problem(me(token), 401, UNTRUSTED)

    def test_public_url_changes(self, tenant: Tenant, deployer: User, offline: Issuer, settings: Settings) -> None:
        """Documents must be put in force again; until then the operator can list the old audience."""
        trust(tenant, offline)
        old, new = offline.token(), offline.token(aud="https://new.test/acme")
        settings.THREADA_PUBLIC_URL = "https://new.test"
        assert_problem(me(old), 401, UNTRUSTED)
        assert_problem(me(new), 401, UNTRUSTED)
        settings.THREADA_WORKLOAD_AUDIENCES = [f"acme={PUBLIC_URL}/acme"]
        assert me(old).status_code == 200
        trust(tenant, offline)
        assert me(new).status_code == 200
        assert_problem(me(old), 401, UNTRUSTED)

    def test_owner_of_a_principal_to_create_has_left(self, tenant: Tenant, offline: Issuer) -> None:
        ann = make_principal(tenant, "ann")
        trust(tenant, offline, mapping(principal="robot", create={"kind": "agent", "owner": "ann"}))
        with unit_of_work(tenant.id):
            remove_member(ann, ctx=acting_system(tenant))
        assert_problem(me(offline.token()), 401, "workload_not_mapped")
        assert not User.objects.filter(username="robot").exists()

    def test_stored_keys_are_the_public_ones_only(self, tenant: Tenant, deployer: User, online: Issuer) -> None:
        assert online.receiver is not None
        (key,) = online.key_set["keys"]
        long = {**key, "kid": "long", "n": "A" * 3_000}
        online.receiver.behave(
            {
                "/.well-known/openid-configuration": {
                    "body": {"issuer": online.name, "jwks_uri": f"{online.name}/jwks"}
                },
                "/jwks": {"body": {"keys": [{**key, "x5c": ["A" * 10_000], "other": {"a": 1}}, long, *[key] * 60]}},
            },
            status=404,
        )
        row = trust(tenant, online)
        with unit_of_work(tenant.id):
            stored = TrustedIssuer.objects.get(id=row.id).keys["keys"]
        assert len(stored) == 50
        assert stored[0].keys() <= {"kty", "n", "e", "kid", "use", "key_ops", "alg"}
        assert "n" not in stored[1]
