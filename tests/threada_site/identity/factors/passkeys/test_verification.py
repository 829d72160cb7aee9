"""Ceremonies and answers of passkeys, without a database."""

from __future__ import annotations

import copy
import json
import time
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core import signing
from fido2 import cbor
from fido2.cose import CoseKey
from fido2.utils import websafe_encode
from fido2.webauthn import AttestedCredentialData
from hypothesis import given
from hypothesis import strategies as st

from tests.authenticator import ORIGIN, Authenticator
from threada_site.identity.factors.passkeys.ceremonies import LIFETIME, Ceremony, Purpose
from threada_site.identity.factors.passkeys.relying_party import RelyingParty, relying_party
from threada_site.identity.factors.passkeys.verification import (
    StoredPasskey,
    assertion_options,
    registration_options,
    verify_assertion,
    verify_registration,
)
from threada_site.kernel import errors

PARTY = RelyingParty("localhost", ORIGIN)
PERSON = uuid.uuid4()
HANDLE = bytes(range(32))


def registration() -> Ceremony:
    handle = websafe_encode(HANDLE)
    return Ceremony.start(Purpose.REGISTRATION, PARTY, browser="session", person=PERSON, user_handle=handle)


def options_of(ceremony: Ceremony) -> dict[str, Any]:
    found = registration_options(ceremony, name="fay", display_name="Fay", known=())
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def registered(own: Authenticator) -> StoredPasskey:
    ceremony = registration()
    new = verify_registration(ceremony, own.create(options_of(ceremony)))
    return StoredPasskey(new.data, new.sign_count, HANDLE, new.transports)


def sign_in() -> Ceremony:
    return Ceremony.start(Purpose.SIGN_IN, PARTY, browser="csrf")


def asserted(own: Authenticator, passkey: StoredPasskey, *, ceremony: Ceremony | None = None, **wrong: Any) -> Any:
    ceremony = ceremony or sign_in()
    options = assertion_options(ceremony, must_verify=True)
    answer = own.get(options, **wrong)
    return verify_assertion(ceremony, answer, passkey, must_verify=True, must_name_user=True)


def test_a_passkey_is_registered_and_used() -> None:
    own = Authenticator()
    passkey = registered(own)
    assert passkey.transports == ("hybrid", "internal")
    used = asserted(own, passkey)
    assert (used.sign_count, used.is_user_verified) == (2, True)


def test_options_name_no_personal_data_but_the_account_and_ask_for_verification() -> None:
    options = options_of(registration())
    assert options["user"] == {"id": websafe_encode(HANDLE), "name": "fay", "displayName": "Fay"}
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert [one["alg"] for one in options["pubKeyCredParams"]] == [-7, -8, -35, -257]
    found = assertion_options(sign_in(), must_verify=True)
    assert (found["userVerification"], "allowCredentials" in found) == ("required", False)


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"type": "webauthn.get"}, errors.PasskeyChallengeInvalid),
        ({"challenge": websafe_encode(bytes(32))}, errors.PasskeyChallengeInvalid),
        ({"origin": "https://localhost:8000"}, errors.PasskeyOriginRefused),
        ({"origin": "http://evil.localhost:8000"}, errors.PasskeyOriginRefused),
        ({"cross_origin": True}, errors.PasskeyOriginRefused),
        ({"rp_id": "example.com"}, errors.PasskeyOriginRefused),
        ({"verified": False}, errors.PasskeyUserNotVerified),
        ({"present": False}, errors.PasskeyInvalid),
        ({"raw_id": bytes(16)}, errors.PasskeyInvalid),
        ({"credential": b""}, errors.PasskeyInvalid),
    ],
)
def test_a_registration_that_is_wrong_in_one_respect_is_refused(
    wrong: dict[str, Any], refusal: type[errors.ThreadaError]
) -> None:
    ceremony = registration()
    with pytest.raises(refusal):
        verify_registration(ceremony, Authenticator().create(options_of(ceremony), **wrong))


@pytest.mark.parametrize("algorithm", [-65535, -47, 0, -99])
def test_a_key_for_an_algorithm_that_was_not_offered_is_refused(algorithm: int) -> None:
    ceremony = registration()
    key = CoseKey({1: 3, 3: algorithm, -1: bytes(256), -2: b"\x01\x00\x01"})
    try:
        credential = AttestedCredentialData.create(bytes(16), bytes(32), key)
    except ValueError:
        return
    answer = Authenticator().create(options_of(ceremony), credential=credential, raw_id=bytes(32))
    with pytest.raises(errors.PasskeyInvalid):
        verify_registration(ceremony, answer)


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"type": "webauthn.create"}, errors.PasskeyChallengeInvalid),
        ({"challenge": websafe_encode(bytes(32))}, errors.PasskeyChallengeInvalid),
        ({"origin": "http://localhost:9000"}, errors.PasskeyOriginRefused),
        ({"cross_origin": True}, errors.PasskeyOriginRefused),
        ({"rp_id": "example.com"}, errors.PasskeyOriginRefused),
        ({"verified": False}, errors.PasskeyUserNotVerified),
        ({"present": False}, errors.PasskeyInvalid),
        ({"signature": bytes(70)}, errors.PasskeyInvalid),
        ({"user_handle": bytes(32)}, errors.PasskeyUnknown),
        ({"user_handle": b""}, errors.PasskeyUnknown),
        ({"sign_count": 1}, errors.PasskeyCloned),
        ({"sign_count": 0}, errors.PasskeyCloned),
    ],
)
def test_an_assertion_that_is_wrong_in_one_respect_is_refused(
    wrong: dict[str, Any], refusal: type[errors.ThreadaError]
) -> None:
    own = Authenticator()
    passkey = registered(own)
    with pytest.raises(refusal):
        asserted(own, passkey, **wrong)


def test_the_signature_of_another_key_is_refused() -> None:
    own, other = Authenticator(), Authenticator()
    passkey = registered(own)
    registered(other)
    other.keys[0].credential_id = own.keys[0].credential_id
    with pytest.raises(errors.PasskeyInvalid):
        asserted(other, passkey)


def test_a_passkey_that_does_not_count_is_accepted_again_and_again() -> None:
    own = Authenticator(counts=False)
    passkey = registered(own)
    assert [asserted(own, passkey).sign_count for _ in range(3)] == [0, 0, 0]


def test_a_second_step_accepts_a_passkey_that_did_not_check_the_user() -> None:
    own = Authenticator(verifies=True)
    passkey = registered(own)
    ceremony = Ceremony.start(Purpose.SECOND_STEP, PARTY, browser="session", person=PERSON)
    options = assertion_options(ceremony, known=[passkey], must_verify=False)
    assert [one["id"] for one in options["allowCredentials"]] == [websafe_encode(own.keys[0].credential_id)]
    answer = own.get(options, verified=False, user_handle=b"")
    used = verify_assertion(ceremony, answer, passkey, must_verify=False, must_name_user=False)
    assert not used.is_user_verified


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_ceremony_serves_its_own_purpose_person_browser_and_address_only(purpose: Purpose) -> None:
    text = Ceremony.start(purpose, PARTY, browser="b", person=PERSON).sealed()
    found = Ceremony.opened(text, purpose, PARTY, browser="b", person=PERSON)
    assert found.purpose == purpose.value
    elsewhere = replace(PARTY, origin="http://localhost:9000")
    for other in Purpose:
        if other is not purpose:
            with pytest.raises(errors.PasskeyChallengeInvalid):
                Ceremony.opened(text, other, PARTY, browser="b", person=PERSON)
    for party, browser, person in (
        (PARTY, "other", PERSON), (PARTY, "", PERSON), (PARTY, "b", uuid.uuid4()), (PARTY, "b", None),
        (elsewhere, "b", PERSON),
    ):  # fmt: skip
        with pytest.raises(errors.PasskeyChallengeInvalid):
            Ceremony.opened(text, purpose, party, browser=browser, person=person)
    for forged in ("", "x", text[:-1], signing.dumps({"purpose": purpose.value}, salt="threada.passkey")):
        with pytest.raises(errors.PasskeyChallengeInvalid):
            Ceremony.opened(forged, purpose, PARTY, browser="b", person=PERSON)
    with pytest.raises(errors.PasskeyChallengeInvalid):
        Ceremony.start(purpose, PARTY, browser="", person=PERSON)


def test_a_ceremony_ends_after_five_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = sign_in().sealed()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME.total_seconds() + 1)
    with pytest.raises(errors.PasskeyChallengeExpired):
        Ceremony.opened(text, Purpose.SIGN_IN, PARTY, browser="csrf")
    assert timedelta(minutes=5) == LIFETIME


@pytest.mark.parametrize(
    ("public", "scheme", "host", "expected"),
    [
        ("https://threada.example.org", "http", "10.0.0.1", ("threada.example.org", "https://threada.example.org")),
        ("https://Threada.Example.org:443/", "http", "x", ("threada.example.org", "https://threada.example.org")),
        ("https://t.example.org:8443", "http", "x", ("t.example.org", "https://t.example.org:8443")),
        ("", "http", "localhost:8000", ("localhost", "http://localhost:8000")),
        ("", "https", "t.example.org", ("t.example.org", "https://t.example.org")),
        ("", "http", "127.0.0.1:8000", None),
        ("", "https", "[::1]:8000", None),
        ("", "http", "t.example.org", None),
        ("ftp://t.example.org", "https", "x", None),
    ],
)
def test_the_relying_party_is_the_public_address_or_that_of_the_request(
    public: str, scheme: str, host: str, expected: tuple[str, str] | None
) -> None:
    if expected is None:
        with pytest.raises(errors.PasskeysUnavailable):
            relying_party(public, scheme=scheme, host=host)
    else:
        assert relying_party(public, scheme=scheme, host=host) == RelyingParty(*expected)


_OWN = Authenticator()
_PASSKEY = registered(_OWN)
_CEREMONY = sign_in()
_ANSWER = _OWN.get(assertion_options(_CEREMONY, must_verify=True))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)


@given(
    part=st.sampled_from(["rawId", "id", "type", "response", "clientDataJSON", "authenticatorData", "signature"]),
    value=_JSON,
)
def test_answers_of_any_shape_are_refused_with_a_reason_code(part: str, value: Any) -> None:
    answer = copy.deepcopy(_ANSWER)
    inside = answer if part in answer else answer["response"]
    if inside[part] == value or part == "type":
        return
    inside[part] = value
    with pytest.raises(errors.ThreadaError):
        verify_assertion(_CEREMONY, answer, _PASSKEY, must_verify=True, must_name_user=True)


@given(data=st.binary(max_size=200), client=st.binary(max_size=60))
def test_registrations_of_any_bytes_are_refused_with_a_reason_code(data: bytes, client: bytes) -> None:
    answer = {
        "rawId": "AA", "id": "AA", "type": "public-key",
        "response": {"attestationObject": websafe_encode(data), "clientDataJSON": websafe_encode(client)},
    }  # fmt: skip
    with pytest.raises(errors.PasskeyInvalid):
        verify_registration(registration(), answer)


@pytest.mark.parametrize("number", [5, 2**33, 2**62, True])
def test_numbers_in_place_of_bytes_are_refused_before_they_take_memory(number: int) -> None:
    inside = _ANSWER["response"]
    for wrong in (
        {**_ANSWER, "rawId": number, "id": number},
        *({**_ANSWER, "response": {**inside, name: number}} for name in (*inside, "userHandle")),
        {**_ANSWER, "response": {**inside, "clientDataJSON": _client(challenge=number)}},
    ):
        with pytest.raises(errors.PasskeyInvalid):
            verify_assertion(_CEREMONY, wrong, _PASSKEY, must_verify=True, must_name_user=True)
    for content in ({"fmt": "none", "attStmt": {}, "authData": number}, number, [number]):
        response = {"attestationObject": websafe_encode(cbor.encode(content)), "clientDataJSON": _client()}
        with pytest.raises(errors.PasskeyInvalid):
            verify_registration(registration(), {**_ANSWER, "response": response})


def _client(**more: Any) -> str:
    data = {"type": "webauthn.create", "challenge": "AA", "origin": ORIGIN, **more}
    return websafe_encode(json.dumps(data).encode())


@pytest.mark.parametrize("nested", [b"\x81" * 20_000 + b"\x00", b"\xa1\x61a" * 20_000 + b"\x00"])
def test_deeply_nested_answers_are_refused(nested: bytes) -> None:
    answer = {
        "rawId": "AA", "id": "AA", "type": "public-key",
        "response": {"attestationObject": websafe_encode(nested), "clientDataJSON": websafe_encode(b"[" * 20_000)},
    }  # fmt: skip
    with pytest.raises(errors.PasskeyInvalid):
        verify_registration(registration(), answer)
