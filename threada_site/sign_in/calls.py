"""Calls from the web process to identity providers, through the outbound transport."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlencode

import orjson
import structlog
from django.conf import settings

from integrations.attempts.failures import TransportFailure
from integrations.secrets.access import require_confidential
from integrations.transport import EgressPolicy, OutboundRequest, send
from threada_site.kernel import errors

TIMEOUT_S: Final = 5
MOST_BYTES: Final = 512 * 1024
MOST_AT_ONCE: Final = 2
"""Calls of one process at the same time, so that a slow provider leaves threads to other requests."""
_slots = threading.BoundedSemaphore(MOST_AT_ONCE)
log = structlog.get_logger("threada.sign_in")


def get_json(url: str, *, token: str = "") -> dict[str, Any]:
    """Return the JSON object at `url`. Raise `IdentityProviderUnavailable`, `SignInBusy`."""
    headers = [("Accept", "application/json")]
    if token:
        headers.append(("Authorization", f"Bearer {token}"))
    status, found = _call(OutboundRequest("GET", url, tuple(headers)))
    if status != 200:
        raise errors.IdentityProviderUnavailable(
            f"The identity provider answered with status {status}. Try again later."
        )
    return found


def post_form(url: str, fields: Mapping[str, str], *, authorization: str = "") -> tuple[int, dict[str, Any]]:
    """Send a form. Return status and JSON object of the answer. Raise `IdentityProviderUnavailable`, `SignInBusy`."""
    headers = [("Accept", "application/json"), ("Content-Type", "application/x-www-form-urlencoded")]
    if authorization:
        headers.append(("Authorization", authorization))
    return _call(OutboundRequest("POST", url, tuple(headers), urlencode(fields).encode()))


def _call(request: OutboundRequest) -> tuple[int, dict[str, Any]]:
    with _slot():
        try:
            require_confidential(request.url)
            answer = send(
                request,
                egress=EgressPolicy(settings.THREADA_EGRESS_ALLOW),
                timeout_s=TIMEOUT_S,
                max_body_bytes=MOST_BYTES,
            )
        except TransportFailure as failure:
            log.warning("identity_provider_failed", reason_code=str(failure.failure), detail=failure.detail)
            raise errors.IdentityProviderUnavailable from None
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        log.warning("identity_provider_failed", reason_code="bad_response", status=answer.status)
        raise errors.IdentityProviderUnavailable("The identity provider's answer is no JSON object. Try again later.")
    return answer.status, found


@contextmanager
def _slot() -> Iterator[None]:
    if not _slots.acquire(blocking=False):
        raise errors.SignInBusy(headers={"Retry-After": "1"})
    try:
        yield
    finally:
        _slots.release()
