"""Signature wrapping, variants 1 to 8 (Somorovsky et al., "On Breaking SAML"), and others of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
from django.test import Client
from lxml import etree

from tests.receivers.saml_provider import NAMES, Answer, assertion_in, sign
from tests.threada_site.sign_in.saml.people import asked_by, post, put_saml
from tests.threada_site.sign_in.saml.test_refusals import nobody_came
from tests.threada_site.sign_in.test_oidc import reason_of
from threada_site.tenancy.models import Tenant

Wrap = Callable[[Answer], etree._Element]


def signature_of(element: etree._Element) -> etree._Element:
    found = element.find("ds:Signature", NAMES)
    assert found is not None
    return found


def evil(element: etree._Element, *, keeps_id: bool = False) -> etree._Element:
    """Return a copy without signature that names another subject."""
    copy = deepcopy(element)
    for signature in copy.findall(".//ds:Signature", NAMES):
        parent = signature.getparent()
        assert parent is not None
        parent.remove(signature)
    name = copy.find(".//saml:NameID", NAMES)
    assert name is not None
    name.text = "admin"
    if not keeps_id:
        copy.set("ID", "evil")
    return copy


def signed_whole(answer: Answer) -> etree._Element:
    response = answer.signed()
    sign(response)
    return response


def xsw1(answer: Answer) -> etree._Element:
    """Return variant 1: the original response is inside of the signature of a false one."""
    response = signed_whole(answer)
    false, signature = evil(response), signature_of(response)
    response.remove(signature)
    false.insert(1, signature)
    signature.append(response)
    return false


def xsw2(answer: Answer) -> etree._Element:
    """Return variant 2: the original response is beside its signature in a false one."""
    response = signed_whole(answer)
    false, signature = evil(response), signature_of(response)
    response.remove(signature)
    false.insert(1, response)
    false.insert(2, signature)
    return false


def xsw3(answer: Answer) -> etree._Element:
    """Return variant 3: a false assertion is before the original one."""
    response = answer.signed()
    original = assertion_in(response)
    original.addprevious(evil(original))
    return response


def xsw4(answer: Answer) -> etree._Element:
    """Return variant 4: the original assertion is inside of a false one."""
    response = answer.signed()
    original = assertion_in(response)
    false = evil(original)
    response.replace(original, false)
    false.append(original)
    return response


def xsw5(answer: Answer) -> etree._Element:
    """Return variant 5: a false assertion has the signature of the original one, which follows it."""
    response = answer.signed()
    original = assertion_in(response)
    false, signature = evil(original), signature_of(original)
    original.remove(signature)
    false.insert(1, signature)
    original.addprevious(false)
    return response


def xsw6(answer: Answer) -> etree._Element:
    """Return variant 6: a false assertion has the signature, which contains the original one."""
    response = answer.signed()
    original = assertion_in(response)
    false, signature = evil(original), signature_of(original)
    response.replace(original, false)
    original.remove(signature)
    false.insert(1, signature)
    signature.append(original)
    return response


def xsw7(answer: Answer) -> etree._Element:
    """Return variant 7: a false assertion with the same id is in an extension before the original one."""
    response = answer.signed()
    extensions = etree.Element(f"{{{NAMES['samlp']}}}Extensions")
    response.insert(1, extensions)
    extensions.append(evil(assertion_in(response), keeps_id=True))
    return response


def xsw8(answer: Answer) -> etree._Element:
    """Return variant 8: the original assertion is in an object of the signature, and the false one has its id."""
    response = answer.signed()
    original = assertion_in(response)
    false, signature = evil(original, keeps_id=True), signature_of(original)
    response.replace(original, false)
    original.remove(signature)
    false.insert(1, signature)
    etree.SubElement(signature, f"{{{NAMES['ds']}}}Object").append(original)
    return response


def other_namespace(answer: Answer) -> etree._Element:
    """Return variant 6 with the original assertion hidden in an element of another namespace, named by its id."""
    response = xsw6(answer)
    for hidden in response.iterfind(".//ds:Signature/saml:Assertion", NAMES):
        hidden.tag = "{urn:x}Hidden"
    return response


def reference_to_whole_document(answer: Answer) -> etree._Element:
    response = answer.signed()
    reference = response.find(".//ds:Reference", NAMES)
    assert reference is not None
    reference.set("URI", "")
    return response


def second_reference(answer: Answer) -> etree._Element:
    response = answer.signed()
    reference = response.find(".//ds:Reference", NAMES)
    assert reference is not None
    reference.addnext(deepcopy(reference))
    return response


def second_signature(answer: Answer) -> etree._Element:
    response = answer.signed()
    sign(assertion_in(response), "other")
    return response


def same_id_elsewhere(answer: Answer) -> etree._Element:
    response = answer.signed()
    status = response.find("samlp:Status", NAMES)
    assert status is not None
    status.set("Id", str(assertion_in(response).get("ID")))
    return response


def in_extensions(response: etree._Element, element: etree._Element) -> etree._Element:
    extensions = etree.Element(f"{{{NAMES['samlp']}}}Extensions")
    response.insert(1, extensions)
    extensions.append(element)
    return response


def stray_signature(answer: Answer) -> etree._Element:
    response = answer.signed()
    return in_extensions(response, deepcopy(signature_of(assertion_in(response))))


def stray_response(answer: Answer) -> etree._Element:
    return in_extensions(answer.signed(), etree.Element(f"{{{NAMES['samlp']}}}Response"))


def object_in_signature(answer: Answer) -> etree._Element:
    response = answer.signed()
    etree.SubElement(signature_of(assertion_in(response)), f"{{{NAMES['ds']}}}Object").text = "x"
    return response


def signature_of_the_response_as_the_assertions(answer: Answer) -> etree._Element:
    """Put the signature of the response into the assertion."""
    response = answer.unsigned()
    signature = sign(response)
    response.remove(signature)
    assertion_in(response).insert(1, signature)
    return response


WRAPS: list[Wrap] = [xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8]
OTHERS: list[Wrap] = [
    other_namespace,
    reference_to_whole_document,
    second_reference,
    second_signature,
    same_id_elsewhere,
    stray_signature,
    stray_response,
    object_in_signature,
    signature_of_the_response_as_the_assertions,
]


@pytest.mark.parametrize("wrap", [*WRAPS, *OTHERS], ids=lambda wrap: wrap.__name__)
def test_signature_wrapping_is_refused(acme: Tenant, wrap: Wrap) -> None:
    put_saml(acme)
    browser = Client()
    answer = asked_by(browser)
    assert reason_of(post(browser, answer.form(wrap(answer)))) == "saml_wrapping_refused"
    nobody_came(acme, browser, "saml_wrapping_refused")


def test_the_originals_of_the_variants_are_accepted(acme: Tenant) -> None:
    """Without the wrapping the same answers sign in, so that the variants are refused for the wrapping alone."""
    put_saml(acme)
    for make in (Answer.signed, signed_whole):
        browser = Client()
        answer = asked_by(browser)
        assert post(browser, answer.form(make(answer))).status_code == 302
