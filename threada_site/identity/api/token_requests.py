"""Requests of the token endpoint: forms of RFC 8693, and answers in the form of RFC 6749."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

from django.conf import settings

from threada_site.kernel import errors, tokens
from threada_site.kernel.errors import Reason, ThreadaError

GRANT: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
FORM: Final = "application/x-www-form-urlencoded"
MOST_OF_BODY: Final = 64 * 1024
_MOST_FIELDS: Final = 50
_REPEATABLE: Final = frozenset({"audience", "resource"})
_NOT_SUPPORTED: Final = ("actor_token", "actor_token_type")
_ERRORS: Final = {
    "token_grant_unsupported": "unsupported_grant_type",
    "token_scope_invalid": "invalid_scope",
    "token_target_invalid": "invalid_target",
    "token_client_refused": "invalid_client",
}
_STATUSES: Final = frozenset({401, 429})
_UNSPEAKABLE: Final = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")
"""Characters that `error_description` may not contain (RFC 6749, section 5.2)."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A well-formed request for the exchange of a token."""

    subject_token: str
    scopes: tuple[str, ...]
    targets: tuple[str, ...]


def read_token_request(body: bytes) -> TokenRequest:
    """Read a form. Raise `TokenRequestInvalid`, `TokenGrantUnsupported`, `TokenTargetInvalid`.

    A parameter without a value counts as absent, and unknown ones are ignored, as RFC 6749 says.
    """
    try:
        pairs = parse_qsl(body.decode("ascii"), strict_parsing=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise errors.TokenRequestInvalid("The body is not a form of at most 50 parameters.") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    twice = sorted(name for name, values in fields.items() if len(values) > 1 and name not in _REPEATABLE)
    if twice:
        raise errors.TokenRequestInvalid("A parameter occurs twice.")
    _check(fields)
    resources = tuple(fields.get("resource", ()))
    if any("#" in each or ":" not in each for each in resources):
        raise errors.TokenTargetInvalid("A resource is an absolute URI without a fragment.")
    scope = fields.get("scope", [""])[0]
    return TokenRequest(
        subject_token=fields["subject_token"][0],
        scopes=tuple(dict.fromkeys(scope.split())),
        targets=(*resources, *fields.get("audience", ())),
    )


def _check(fields: Mapping[str, list[str]]) -> None:
    """Raise unless grant type and types of tokens are those that are supported."""
    grant = fields.get("grant_type")
    if grant is None:
        raise errors.TokenRequestInvalid("grant_type is missing.")
    if grant != [GRANT]:
        raise errors.TokenGrantUnsupported
    if any(name in fields for name in _NOT_SUPPORTED):
        raise errors.TokenRequestInvalid("actor_token is not supported: nobody acts for somebody else here.")
    if fields.get("subject_token_type") != [JWT]:
        raise errors.TokenRequestInvalid(f"subject_token_type must be {JWT}.")
    if fields.get("requested_token_type", [ACCESS_TOKEN]) != [ACCESS_TOKEN]:
        raise errors.TokenRequestInvalid(f"requested_token_type must be {ACCESS_TOKEN}, or absent.")
    subject = fields.get("subject_token")
    if subject is None or not tokens.has_form_of_jwt(subject[0]):
        raise errors.TokenRequestInvalid("subject_token is missing, or no signed JWT of at most 16,384 bytes.")


def status_of(reason: Reason) -> int:
    """Return the status of an answer: 400 for all refusals of RFC 6749, except those of clients and of limits."""
    status = reason.status or 500
    return status if (status in _STATUSES and not reason.code.startswith("workload_")) or status >= 500 else 400


def error_of(reason: Reason) -> str:
    """Return the error code. RFC 8693 asks for `invalid_request` if the subject token is not accepted."""
    if status_of(reason) == 429 or status_of(reason) >= 500:
        return "temporarily_unavailable"
    return _ERRORS.get(reason.code, "invalid_request")


def error_body(reason: Reason, detail: str, *, correlation_id: str) -> dict[str, Any]:
    """Return the body of a refusal, with the reason code and the correlation id as further members."""
    base = settings.THREADA_PUBLIC_URL.rstrip("/")
    return {
        "error": error_of(reason),
        "error_description": _UNSPEAKABLE.sub("'", detail),
        "error_uri": f"{base}/docs/reason-codes#{reason.code}",
        "reason_code": reason.code,
        "correlation_id": correlation_id,
    }


def refusal_body(refusal: ThreadaError, *, correlation_id: str) -> tuple[int, dict[str, Any]]:
    """Return status and body of a refusal."""
    reason = refusal.reason()
    return status_of(reason), error_body(reason, refusal.detail, correlation_id=correlation_id)
