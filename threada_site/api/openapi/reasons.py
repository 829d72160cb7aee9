"""Reason codes that follow from the declaration of an operation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from threada_site.api.operations import Operation

EVERYWHERE: Final = (
    "bad_request",
    "not_acceptable",
    "too_many_connections",
    "internal_error",
    "service_unavailable",
    "statement_too_slow",
)
_IN_TENANTS: Final = (
    "credential_missing",
    "credential_invalid",
    "credential_expired",
    "credential_revoked",
    "principal_inactive",
    "tenant_mismatch",
    "role_not_held",
    "rate_limited",
)
_WITH_SCOPE: Final = ("scope_missing", "permission_denied")
_WITH_BODY: Final = (
    "malformed_json",
    "json_not_interoperable",
    "payload_too_large",
    "unsupported_media_type",
    "invalid_request",
)
_WHEN_WRITING: Final = ("audit_unavailable",)
_WITH_KEY: Final = ("invalid_request", "idempotency_in_flight", "idempotency_key_reused", "idempotency_answer_gone")


def reason_codes(declared: Operation, handler: Any, method: str, view: Any, *, has_variables: bool) -> Iterator[str]:
    """Yield the reason codes of all refusals of an operation; some of them twice."""
    yield from EVERYWHERE
    if hasattr(view, "scopes"):
        yield from _IN_TENANTS
        if view.scopes.get(method):
            yield from _WITH_SCOPE
            if method != "GET":
                yield "owner_required"
    if has_variables:
        yield "not_found"
    if declared.is_paged:
        yield "invalid_cursor"
    if declared.filters is not None or declared.is_paged:
        yield "invalid_request"
    if declared.body is not None or method in ("POST", "PUT", "PATCH"):
        yield from _WITH_BODY
    if method != "GET":
        yield from _WHEN_WRITING
    if getattr(handler, "is_idempotent", False):
        yield from _WITH_KEY
    yield from _precondition_reasons(declared)
    yield from declared.reasons


def _precondition_reasons(declared: Operation) -> tuple[str, ...]:
    if declared.needs_if_match:
        return ("precondition_failed", "precondition_required")
    return ("precondition_failed",) if declared.takes_if_match else ()
