"""Checks of a signed SAML assertion (Core 2.0, Web Browser SSO profile), and its claims. Imports no Django."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from xml.etree.ElementTree import Element

from threada_site.identity.providers.documents import NAME_ID
from threada_site.identity.providers.saml_metadata import NAME_ID_FORMAT, parse_instant
from threada_site.kernel import errors
from threada_site.sign_in.saml.service_provider import ASSERTION
from threada_site.sign_in.saml.signatures import Node

LEEWAY: Final = timedelta(seconds=60)
STEP_UP_LEEWAY: Final = timedelta(seconds=30)
OLDEST: Final = timedelta(minutes=10)
"""Age of an assertion. Its id is kept for 24 hours, so that it serves once."""
_NOT_ATTRIBUTES: Final = frozenset({NAME_ID, NAME_ID_FORMAT, "auth_time", "acr", "amr"})
"""Claims that come from elsewhere in an assertion, or not at all."""
_SAML: Final = f"{{{ASSERTION}}}"
_BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
_TRANSIENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
_UNSPECIFIED: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
_KNOWN_CONDITIONS: Final = frozenset(
    f"{_SAML}{name}" for name in ("AudienceRestriction", "OneTimeUse", "ProxyRestriction")
)


@dataclass(frozen=True, slots=True)
class Expected:
    """Values that an assertion must have."""

    issuer: str
    consumer: str
    audience: str
    request_id: str
    subject: str
    max_age: int | None
    acr_values: tuple[str, ...]
    now: datetime
    started: datetime | None = None
    """Time before which the person did not authenticate at the provider, for a step-up."""


def check_response(response: Node, expected: Expected) -> None:
    """Check the unsigned envelope of an assertion.

    Raise `SamlDestinationMismatch`, `SamlUnsolicited`, `SamlRequestMismatch`, `IssuerMismatch`.
    """
    if response.get("Destination") != expected.consumer:
        raise errors.SamlDestinationMismatch
    if response.get("InResponseTo") is None:
        raise errors.SamlUnsolicited
    if response.get("InResponseTo") != expected.request_id:
        raise errors.SamlRequestMismatch
    if response.find(f"{_SAML}Issuer") is not None and _text(response, "Issuer") != expected.issuer:
        raise errors.IssuerMismatch


def claims_of(assertion: Element, expected: Expected) -> dict[str, Any]:
    """Return attributes by name, and the NameID as `NameID` and `NameID.Format`. Several values are a list.

    Raise an error of `threada_site.kernel.errors.saml`, or `IssuerMismatch`.
    """
    if assertion.get("Version") != "2.0" or not assertion.get("ID"):
        raise errors.SamlResponseMalformed
    if _text(assertion, "Issuer") != expected.issuer:
        raise errors.IssuerMismatch
    _check_begins(assertion.get("IssueInstant"), expected, is_required=True)
    if _instant(assertion.get("IssueInstant")) < expected.now - OLDEST - LEEWAY:
        raise errors.SamlAssertionExpired("The SAML assertion was issued too long ago. Start the sign-in again.")
    subject = _only(assertion, "Subject")
    _check_confirmation(subject, expected)
    _check_conditions(_only(assertion, "Conditions"), expected)
    claims = {name: value for name, value in _attributes(assertion).items() if name not in _NOT_ATTRIBUTES}
    claims |= _authentication(assertion, expected)
    name = _only(subject, "NameID")
    if expected.subject == NAME_ID and name.get("Format") == _TRANSIENT:
        raise errors.SamlSubjectTransient
    if len(name) == 0 and _is_from_here(name, expected):
        claims[NAME_ID] = (name.text or "").strip()
        claims[NAME_ID_FORMAT] = name.get("Format") or _UNSPECIFIED
    return claims


def _is_from_here(name: Element, expected: Expected) -> bool:
    """Return False for a NameID of another provider, or for another service, which may name somebody else the same."""
    qualifiers = ("NameQualifier", expected.issuer), ("SPNameQualifier", expected.audience)
    return all(name.get(attribute, "").strip() in ("", accepted) for attribute, accepted in qualifiers)


def _check_confirmation(subject: Element, expected: Expected) -> None:
    """Check the bearer confirmation: exactly one, for this address and this request, not expired."""
    confirmations = subject.findall(f"{_SAML}SubjectConfirmation")
    if len(confirmations) != 1 or confirmations[0].get("Method") != _BEARER:
        raise errors.SamlResponseMalformed("The SAML assertion has no bearer confirmation, or several.")
    data = _only(confirmations[0], "SubjectConfirmationData")
    if data.get("Recipient") != expected.consumer:
        raise errors.SamlDestinationMismatch
    if data.get("InResponseTo") is None:
        raise errors.SamlUnsolicited
    if data.get("InResponseTo") != expected.request_id:
        raise errors.SamlRequestMismatch
    _check_begins(data.get("NotBefore"), expected)
    _check_ends(data.get("NotOnOrAfter"), expected, is_required=True)


def _check_conditions(conditions: Element, expected: Expected) -> None:
    _check_begins(conditions.get("NotBefore"), expected)
    _check_ends(conditions.get("NotOnOrAfter"), expected)
    if any(condition.tag not in _KNOWN_CONDITIONS for condition in conditions):
        raise errors.SamlResponseMalformed("The SAML assertion has a condition that is not known here.")
    restrictions = conditions.findall(f"{_SAML}AudienceRestriction")
    for restriction in restrictions:
        if expected.audience not in {(one.text or "").strip() for one in restriction.iterfind(f"{_SAML}Audience")}:
            raise errors.SamlAudienceMismatch
    if not restrictions:
        raise errors.SamlAudienceMismatch


def _authentication(assertion: Element, expected: Expected) -> dict[str, Any]:
    """Return time and context of the authentication as the claims `auth_time` and `acr`."""
    statement = _only(assertion, "AuthnStatement")
    _check_ends(statement.get("SessionNotOnOrAfter"), expected)
    at = _instant(statement.get("AuthnInstant"))
    if at > expected.now + LEEWAY:
        raise errors.SamlAssertionNotYetValid
    if expected.started is not None and at < expected.started - STEP_UP_LEEWAY:
        raise errors.SamlAuthenticationInsufficient("The identity provider did not ask you to sign in again.")
    if expected.max_age is not None and expected.now - at > timedelta(seconds=expected.max_age) + LEEWAY:
        raise errors.SamlAuthenticationInsufficient("The authentication at the identity provider is too old.")
    classes = [
        (one.text or "").strip() for one in statement.iterfind(f"{_SAML}AuthnContext/{_SAML}AuthnContextClassRef")
    ]
    if len(classes) > 1:
        raise errors.SamlResponseMalformed("The SAML assertion has several authentication contexts.")
    context = classes[0] if classes else None
    if expected.acr_values and context not in expected.acr_values:
        raise errors.SamlAuthenticationInsufficient
    return {"auth_time": at.timestamp(), "acr": context}


def _attributes(assertion: Element) -> dict[str, Any]:
    found: dict[str, list[str]] = {}
    for attribute in assertion.iterfind(f"{_SAML}AttributeStatement/{_SAML}Attribute"):
        values = [
            (value.text or "").strip() for value in attribute.iterfind(f"{_SAML}AttributeValue") if len(value) == 0
        ]
        found.setdefault(str(attribute.get("Name", "")), []).extend(values)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _only(element: Element, name: str) -> Element:
    found = element.findall(f"{_SAML}{name}")
    if len(found) != 1:
        raise errors.SamlResponseMalformed(f"The SAML assertion does not have exactly one {name}.")
    return found[0]


def _text(element: Element, name: str) -> str:
    return (_only(element, name).text or "").strip()


def _instant(text: str | None) -> datetime:
    try:
        return parse_instant(text or "")
    except ValueError:
        raise errors.SamlResponseMalformed("The SAML assertion has a time that cannot be read.") from None


def _check_begins(text: str | None, expected: Expected, *, is_required: bool = False) -> None:
    if (text is not None or is_required) and _instant(text) > expected.now + LEEWAY:
        raise errors.SamlAssertionNotYetValid


def _check_ends(text: str | None, expected: Expected, *, is_required: bool = False) -> None:
    if (text is not None or is_required) and _instant(text) <= expected.now - LEEWAY:
        raise errors.SamlAssertionExpired
