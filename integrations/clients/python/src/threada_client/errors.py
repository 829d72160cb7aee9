"""Errors of the client, by category and reason code of the server's answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


class ThreadaError(Exception):
    """Any failure of a call."""


class ConnectionFailed(ThreadaError):
    """No answer arrived. The server may or may not have acted; the same call with the same idempotency key is safe."""


class UnexpectedAnswer(ThreadaError):
    """An answer that is not the API's, for example a page of a proxy."""


class WaitTimedOut(ThreadaError):
    """A wait ended before the status did; `resource` is the last answer."""

    def __init__(self, message: str, resource: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.resource = resource


class SignatureInvalid(ThreadaError):
    """A webhook or callback is not signed by any of the secrets, or too old."""


class Refused(ThreadaError):
    """A refusal by the server: a problem document (RFC 9457)."""

    def __init__(self, document: Mapping[str, Any], status: int) -> None:
        self.document = document
        self.status = status
        self.reason_code = str(document.get("reason_code", ""))
        self.category = str(document.get("category", ""))
        self.title = str(document.get("title", ""))
        self.detail = str(document.get("detail", ""))
        self.correlation_id = str(document.get("correlation_id", ""))
        self.errors: list[dict[str, Any]] = list(document.get("errors", ()))
        super().__init__(f"{self.reason_code} ({status}): {self.detail}{_listed(self.errors)}")


class ValidationFailed(Refused):
    """Category `validation`: the request is wrong, or does not fit the state of its resource."""


class NotAuthorized(Refused):
    """Category `authorization`: the credential, its scopes or the person do not permit the request."""


class RefusedByPolicy(Refused):
    """Category `policy`: a rule denies it, or people must decide first."""

    @property
    def reasons(self) -> list[dict[str, Any]]:
        """Reasons of the tenant's own policies."""
        return list(self.document.get("reasons", ()))


class ExecutionFailed(Refused):
    """Category `execution`: the server cannot do it now."""


class NotFound(ValidationFailed):
    """Reason `not_found`."""


class InvalidRequest(ValidationFailed):
    """Reasons `invalid_request` and `payload_schema_violation`; `errors` points at the members."""


class Changed(ValidationFailed):
    """Reasons `precondition_failed` and `precondition_required`: read the resource again and send its ETag."""


class CredentialRefused(NotAuthorized):
    """Reasons `credential_…`: no valid credential."""


class PolicyDenied(RefusedByPolicy):
    """Reason `policy_denied`."""


class EnvelopeChanged(RefusedByPolicy):
    """Reason `envelope_changed`: read the step again before voting."""


class RateLimited(ExecutionFailed):
    """Reason `rate_limited`, still after all retries."""


_BY_REASON: Final[dict[str, type[Refused]]] = {
    "not_found": NotFound,
    "invalid_request": InvalidRequest,
    "payload_schema_violation": InvalidRequest,
    "precondition_failed": Changed,
    "precondition_required": Changed,
    "credential_missing": CredentialRefused,
    "credential_invalid": CredentialRefused,
    "credential_expired": CredentialRefused,
    "credential_revoked": CredentialRefused,
    "policy_denied": PolicyDenied,
    "envelope_changed": EnvelopeChanged,
    "rate_limited": RateLimited,
}
_BY_CATEGORY: Final[dict[str, type[Refused]]] = {
    "validation": ValidationFailed,
    "authorization": NotAuthorized,
    "policy": RefusedByPolicy,
    "execution": ExecutionFailed,
}


def refusal(document: Mapping[str, Any], status: int) -> Refused:
    """Return the error for a problem document, by its reason code or else its category."""
    by_category = _BY_CATEGORY.get(str(document.get("category")), Refused)
    return _BY_REASON.get(str(document.get("reason_code")), by_category)(document, status)


def _listed(entries: list[dict[str, Any]]) -> str:
    return "".join(f" [{entry.get('pointer', '')}: {entry.get('detail', '')}]" for entry in entries)
