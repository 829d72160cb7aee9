"""Answers of a SAML provider that are refused, each with its own reason code, and nobody is signed in."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from django.test import Client
from lxml import etree
from pytest_django import Settings
from signxml import DigestAlgorithm, SignatureMethod

from telemetry.models import Receipt
from tests.factories import make_tenant
from tests.receivers.saml_provider import NAMES, TRANSIENT, Answer, assertion_in, metadata_of, sign
from tests.threada_site.sign_in.people import begin
from tests.threada_site.sign_in.saml.people import CALLBACK, asked_by, post, put_saml, sign_in_by_saml
from tests.threada_site.sign_in.test_oidc import link_of, reason_of
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import IdentityLink, Tenant

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"destination": "http://testserver/console/login/acme/other/callback"}, "saml_destination_mismatch"),
    ({"destination": None}, "saml_destination_mismatch"),
    ({"recipient": "http://testserver/console/login/acme/corp/callback?x"}, "saml_destination_mismatch"),
    ({"recipient": None}, "saml_destination_mismatch"),
    ({"audience": "https://other.example"}, "saml_audience_mismatch"),
    ({"audience": None}, "saml_audience_mismatch"),
    (
        {
            "more_conditions": "<saml:AudienceRestriction><saml:Audience>x</saml:Audience></saml:AudienceRestriction>",
        },
        "saml_audience_mismatch",
    ),
    ({"more_conditions": "<saml:Condition/>"}, "saml_response_malformed"),
    ({"response_to": "id-other"}, "saml_request_mismatch"),
    ({"confirmed_to": "id-other"}, "saml_request_mismatch"),
    ({"response_to": None}, "saml_unsolicited"),
    ({"confirmed_to": None}, "saml_unsolicited"),
    ({"issuer": "https://evil.example"}, "issuer_mismatch"),
    ({"response_issuer": "https://evil.example"}, "issuer_mismatch"),
    ({"issued": 300}, "saml_assertion_not_yet_valid"),
    ({"not_before": 300}, "saml_assertion_not_yet_valid"),
    ({"authenticated": 300}, "saml_assertion_not_yet_valid"),
    ({"confirmed_from": 300}, "saml_assertion_not_yet_valid"),
    ({"issued": -900}, "saml_assertion_expired"),
    ({"not_on_or_after": -300}, "saml_assertion_expired"),
    ({"confirmed_until": -300}, "saml_assertion_expired"),
    ({"session_until": -300}, "saml_assertion_expired"),
    ({"confirmed_until": None}, "saml_response_malformed"),
    ({"confirmed_until": "2199-01-01T00:00:00"}, "saml_response_malformed"),
    ({"confirmed_until": "soon"}, "saml_response_malformed"),
    ({"confirmed_until": "9999-12-31T23:59:59-14:00"}, "saml_response_malformed"),
    ({"name_format": TRANSIENT}, "saml_subject_transient"),
    ({"subject": ""}, "identity_subject_unmapped"),
    ({"subject": " \n "}, "identity_subject_unmapped"),
    ({"subject": "x" * 256}, "identity_subject_unmapped"),
    ({"subject": None}, "saml_response_malformed"),
    ({"subject_xml": "<saml:NameID>a</saml:NameID><saml:NameID>b</saml:NameID>"}, "saml_response_malformed"),
    ({"subject_xml": "<saml:NameID>admin<saml:X/></saml:NameID>"}, "identity_subject_unmapped"),
    ({"subject_xml": "<saml:NameID>admin<!-- -->.evil</saml:NameID>"}, "saml_markup_refused"),
    ({"subject_xml": "<saml:NameID>admin<?x y?>.evil</saml:NameID>"}, "saml_markup_refused"),
    ({"subject_xml": "<saml:NameID NameQualifier='https://b.example'>a</saml:NameID>"}, "identity_subject_unmapped"),
    ({"subject_xml": "<saml:NameID SPNameQualifier='urn:b'>a</saml:NameID>"}, "identity_subject_unmapped"),
    ({"subject_xml": "<saml:EncryptedID><x/></saml:EncryptedID>"}, "saml_assertion_encrypted"),
    ({"status": "urn:oasis:names:tc:SAML:2.0:status:Responder"}, "identity_provider_refused"),
    ({"more": "<saml:Advice><saml:Assertion ID='x'/></saml:Advice>"}, "saml_wrapping_refused"),
]


def nobody_came(acme: Tenant, browser: Client, reason: str) -> None:
    """Check that nobody is signed in or linked, and that the refusal left a receipt."""
    assert browser.get("/console/").status_code == 302
    with unit_of_work(acme.id):
        assert not IdentityLink.objects.filter(tenant_id=acme.id).exists()
        assert Receipt.objects.filter(kind="request.refused").get().reason_codes == [reason]


@pytest.mark.parametrize(("fields", "reason"), WRONG, ids=lambda one: str(one)[:60])
def test_a_wrong_assertion_is_refused(acme: Tenant, fields: dict[str, Any], reason: str) -> None:
    put_saml(acme)
    browser, answer = sign_in_by_saml(**fields)
    assert reason_of(answer) == reason
    nobody_came(acme, browser, reason)


def test_clocks_may_differ_by_a_minute(acme: Tenant) -> None:
    put_saml(acme)
    late = {"not_on_or_after": -30, "confirmed_until": -30}
    assert sign_in_by_saml(**late)[1].status_code == 302
    assert sign_in_by_saml(issued=30, not_before=30, authenticated=30)[1].status_code == 302


def unsigned(answer: Answer) -> etree._Element:
    return answer.unsigned()


def only_response_signed(answer: Answer) -> etree._Element:
    response = answer.unsigned()
    sign(response)
    return response


def wrong_response_signature(answer: Answer) -> etree._Element:
    response = answer.signed()
    sign(response, "other")
    return response


def changed_afterwards(answer: Answer) -> etree._Element:
    response = answer.signed()
    name = response.find(".//saml:NameID", NAMES)
    assert name is not None
    name.text = "admin"
    return response


def with_hmac(answer: Answer) -> etree._Element:
    def change(signature: etree._Element) -> None:
        method = signature.find(".//ds:SignatureMethod", NAMES)
        assert method is not None
        method.set("Algorithm", SignatureMethod.HMAC_SHA256.value)

    return answer.signed(change=change)


def encrypted(answer: Answer) -> etree._Element:
    response = answer.unsigned()
    response.remove(assertion_in(response))
    etree.SubElement(response, f"{{{NAMES['saml']}}}EncryptedAssertion")
    return response


def without_assertion(answer: Answer) -> etree._Element:
    response = answer.unsigned()
    response.remove(assertion_in(response))
    return response


def with_transform(answer: Answer) -> etree._Element:
    """Add a transform that takes parts of the element out before it is signed."""

    def change(signature: etree._Element) -> None:
        transforms = signature.find(".//ds:Transforms", NAMES)
        assert transforms is not None
        transforms[0].set("Algorithm", "http://www.w3.org/TR/1999/REC-xpath-19991116")

    return answer.signed(change=change)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (unsigned, "saml_assertion_unsigned"),
        (only_response_signed, "saml_assertion_unsigned"),
        (wrong_response_signature, "saml_signature_invalid"),
        (changed_afterwards, "saml_signature_invalid"),
        (lambda answer: answer.signed("other"), "saml_signature_invalid"),
        (lambda answer: answer.signed("rsa-1024"), "saml_signature_invalid"),
        (lambda answer: answer.signed(method=SignatureMethod.RSA_SHA1), "saml_algorithm_refused"),
        (lambda answer: answer.signed(digest=DigestAlgorithm.SHA1), "saml_algorithm_refused"),
        (lambda answer: answer.signed(digest=DigestAlgorithm.SHA224), "saml_algorithm_refused"),
        (with_hmac, "saml_algorithm_refused"),
        (with_transform, "saml_algorithm_refused"),
        (encrypted, "saml_assertion_encrypted"),
        (without_assertion, "saml_wrapping_refused"),
    ],
)
def test_an_assertion_without_the_right_signature_is_refused(acme: Tenant, make: Any, reason: str) -> None:
    put_saml(acme)
    browser = Client()
    answer = asked_by(browser)
    assert reason_of(post(browser, answer.form(make(answer)))) == reason
    nobody_came(acme, browser, reason)


@pytest.mark.parametrize("method", [SignatureMethod.RSA_SHA512, SignatureMethod.SHA256_RSA_MGF1, None], ids=str)
def test_better_algorithms_are_accepted(acme: Tenant, method: SignatureMethod | None) -> None:
    put_saml(acme, metadata=metadata_of("one", "ec"))
    browser = Client()
    answer = asked_by(browser)
    key = "one" if method else "ec"
    both = answer.signed(key, method=method, digest=DigestAlgorithm.SHA512)
    sign(both, key, method=method)
    assert post(browser, answer.form(both)).status_code == 302


LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


def around(answer: Answer, before: bytes = b"", after: bytes = b"", encoding: str = "utf-8") -> bytes:
    return (before + etree.tostring(answer.signed()) + after).decode().encode(encoding)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda one: around(one, b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'), "saml_markup_refused"),
        (lambda one: around(one, b'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">'), "saml_markup_refused"),
        (lambda one: around(one, f'<!DOCTYPE x [<!ENTITY a0 "ha">{LAUGHS}]>'.encode()), "saml_markup_refused"),
        (lambda one: around(one, after=b"<!-- end -->"), "saml_markup_refused"),
        (lambda one: around(one, b'<?xml-stylesheet href="x"?>'), "saml_markup_refused"),
        (lambda one: around(one, encoding="utf-16"), "saml_response_malformed"),
        (
            lambda one: around(one, b'<?xml version="1.0" encoding="utf-7"?>', encoding="utf-16"),
            "saml_response_malformed",
        ),
        (lambda one: around(one, after=b"<x/>"), "saml_response_malformed"),
        (lambda one: around(one).replace(b"Version", b"Vrsion", 1), "saml_response_malformed"),
        (lambda one: b"<a>" * 33 + b"</a>" * 33, "saml_response_malformed"),
        (lambda one: b"<a>" + b"<b/>" * 10_001 + b"</a>", "saml_response_malformed"),
        (lambda one: b"<a>" + b"x" * 256 * 1024 + b"</a>", "saml_response_malformed"),
        (lambda one: b"<a " + b"".join(b"b%d='' " % n for n in range(33)) + b"/>", "saml_response_malformed"),
        (lambda one: b"<a " + b"".join(b"xmlns:b%d='u' " % n for n in range(65)) + b"/>", "saml_response_malformed"),
        (lambda one: etree.tostring(assertion_in(one.signed())), "saml_response_malformed"),
        (lambda one: b"", "saml_response_malformed"),
        (lambda one: b"\0", "saml_response_malformed"),
        (lambda one: b"\xff\xfe", "saml_response_malformed"),
    ],
)
def test_hostile_xml_is_refused(acme: Tenant, make: Any, reason: str) -> None:
    put_saml(acme)
    browser = Client()
    answer = asked_by(browser)
    assert reason_of(post(browser, answer.form(make(answer)))) == reason
    nobody_came(acme, browser, reason)


def test_an_assertion_serves_once(acme: Tenant) -> None:
    put_saml(acme)
    browser = Client()
    answer = asked_by(browser)
    form, kept = answer.form(), {name: morsel.value for name, morsel in browser.cookies.items()}
    assert post(browser, form).status_code == 302
    assert reason_of(post(browser, form)) == "sign_in_state_invalid"
    thief = Client()
    for name, value in kept.items():
        thief.cookies[name] = value
    assert reason_of(post(thief, form)) == "sign_in_state_invalid"
    assert thief.get("/console/").status_code == 302
    again = asked_by(thief).changed(assertion_id="one")
    assert post(thief, again.form()).status_code == 302
    other = asked_by(Client()).changed(assertion_id="one")
    assert reason_of(post(Client(), other.form())) == "sign_in_state_invalid"
    browser = Client()
    assert reason_of(sign_in_by_saml(browser=browser, assertion_id="one")[1]) == "saml_assertion_replayed"


def test_an_answer_belongs_to_the_browser_that_asked(acme: Tenant) -> None:
    """Login CSRF: the attacker's answer, posted by somebody else's browser."""
    put_saml(acme)
    attacker, victim = Client(), Client()
    answer = asked_by(attacker)
    asked = asked_by(victim)
    assert reason_of(post(victim, answer.form())) == "sign_in_state_invalid"
    mixed = {**answer.form(), "RelayState": asked.request.relay_state}
    assert reason_of(post(victim, mixed)) == "saml_request_mismatch"
    assert victim.get("/console/").status_code == 302


def test_a_sign_in_that_starts_at_the_provider_is_refused(acme: Tenant) -> None:
    put_saml(acme)
    browser = Client()
    form = asked_by(browser).changed(response_to=None, confirmed_to=None).form()
    assert reason_of(post(browser, {"SAMLResponse": form["SAMLResponse"]})) == "saml_unsolicited"
    assert reason_of(post(Client(), form)) == "sign_in_state_invalid"
    assert reason_of(post(browser, form)) == "saml_unsolicited"


@pytest.mark.parametrize("relay_state", ["https://evil.example/", "//evil.example", "/console/"])
def test_relay_state_is_no_address(acme: Tenant, relay_state: str) -> None:
    put_saml(acme)
    browser = Client()
    form = {**asked_by(browser).form(), "RelayState": relay_state}
    assert reason_of(post(browser, form)) == "sign_in_state_invalid"
    landed = sign_in_by_saml(onward="https://evil.example/console/")[1]
    assert landed["Location"] == "/console/"
    assert sign_in_by_saml(onward="/console/usage/")[1]["Location"] == "/console/usage/"


def test_only_the_callback_takes_posts_of_other_sites(acme: Tenant) -> None:
    put_saml(acme)
    stranger = Client(enforce_csrf_checks=True)
    for path in ("acme/corp", "acme/corp/metadata", "acme/"):
        assert stranger.post(f"/console/login/{path}").status_code == 403
    assert reason_of(stranger.post(CALLBACK, {})) == "saml_unsolicited"
    browser, answer = sign_in_by_saml()
    assert answer.status_code == 302
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = browser.cookies
    assert strict.post("/console/tenant/", {"tenant": "acme"}).status_code == 403


def test_an_answer_arrives_as_its_protocol_says(acme: Tenant) -> None:
    put_saml(acme)
    browser = Client()
    form = asked_by(browser).form()
    assert reason_of(browser.get(CALLBACK, {**form, "state": form["RelayState"]})) == "sign_in_state_invalid"
    assert browser.put(CALLBACK).status_code == 405


def test_sizes_of_forms_are_limited(acme: Tenant) -> None:
    put_saml(acme)
    browser = Client()
    answer = asked_by(browser)
    most = {"groups": [f"CN=group-{n:05},OU=Groups,DC=corp,DC=example" for n in range(2000)]}
    form = answer.changed(attributes=most).form()
    assert len(form["SAMLResponse"]) > 64 * 1024
    assert post(browser, {**form, "SAMLResponse": "A" * 600 * 1024}).status_code == 413
    assert post(Client(), form).status_code == 413
    assert post(browser, form).status_code == 302


def test_the_cookie_is_sent_with_posts_of_another_site(acme: Tenant, settings: Settings) -> None:
    put_saml(acme)
    for is_secure, expected in ((True, "None"), (False, "Lax")):
        settings.SESSION_COOKIE_SECURE = is_secure
        browser = Client()
        begin(browser)
        (cookie,) = (one for name, one in browser.cookies.items() if name.startswith(settings.THREADA_SIGN_IN_COOKIE))
        assert (cookie["samesite"], bool(cookie["secure"]), cookie["httponly"]) == (expected, is_secure, True)
        assert cookie["max-age"] == 600


def test_the_session_gets_a_new_key(acme: Tenant, settings: Settings) -> None:
    put_saml(acme)
    browser = Client()
    before = browser.session
    before["planted"] = True
    before.save()
    browser.cookies[settings.SESSION_COOKIE_NAME] = before.session_key
    sign_in_by_saml(browser=browser)
    assert browser.cookies[settings.SESSION_COOKIE_NAME].value != before.session_key
    assert "planted" not in browser.session


def test_an_answer_of_another_tenant_or_provider_is_refused(acme: Tenant) -> None:
    globex = make_tenant("globex")
    put_saml(acme)
    put_saml(globex)
    put_saml(acme, "second")
    browser = Client()
    for where in ("globex/corp", "acme/second"):
        answer = asked_by(browser)
        assert reason_of(post(browser, answer.form(), where)) == "sign_in_state_invalid"
        other = asked_by(browser, where)
        form = {**answer.form(), "RelayState": other.request.relay_state}
        assert reason_of(post(browser, form, where)) == "saml_destination_mismatch"
    sign_in_by_saml(browser=browser)
    sign_in_by_saml("globex/corp", browser=Client())
    assert link_of(acme).user != link_of(globex).user


def test_authentication_at_the_provider_is_checked_when_asked_for(acme: Tenant) -> None:
    put_saml(acme, max_age=60, acr_values=["urn:mfa"])
    assert sign_in_by_saml(context="urn:mfa")[1].status_code == 302
    for fields in ({"context": "urn:mfa", "authenticated": -600}, {"context": "urn:pwd"}, {}):
        assert reason_of(sign_in_by_saml(**fields)[1]) == "saml_authentication_insufficient"


def test_the_subject_may_be_an_attribute(acme: Tenant) -> None:
    put_saml(acme, claims={"subject": "oid"})
    assert sign_in_by_saml(name_format=TRANSIENT, attributes={"oid": ["o-1"]})[1].status_code == 302
    assert link_of(acme, "o-1")
    wrong: list[dict[str, list[str]]] = [{}, {"oid": []}, {"oid": [""]}, {"oid": ["o-1", "o-2"]}, {"OID": ["o-1"]}]
    for attributes in wrong:
        assert reason_of(sign_in_by_saml(attributes=attributes)[1]) == "identity_subject_unmapped"


def test_an_attribute_does_not_replace_the_name_id(acme: Tenant) -> None:
    put_saml(acme)
    assert sign_in_by_saml(attributes={"NameID": ["admin"]})[1].status_code == 302
    assert link_of(acme).subject == "person-1"


def test_a_response_is_decoded_strictly(acme: Tenant) -> None:
    put_saml(acme)
    browser = Client()
    answer = asked_by(browser)
    form = answer.form()
    for text in ("", "!!", form["SAMLResponse"] + "*", base64.b64encode(b"<").decode()):
        assert reason_of(post(browser, {**form, "SAMLResponse": text})) in (
            "saml_response_malformed",
            "sign_in_state_invalid",
        )
