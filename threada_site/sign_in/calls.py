"""Calls from the web process to identity providers, through the outbound transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import orjson
import structlog
from django.conf import settings

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.secrets.access import require_confidential
from integrations.transport import EgressPolicy, OutboundAnswer, OutboundRequest, is_header_value, send
from threada_site.kernel import errors
from threada_site.sign_in.slots import ProviderSilent, seconds_left

TIMEOUT_S: Final = 5
_SHORTEST_S: Final = 0.1
MOST_BYTES: Final = 512 * 1024
_SILENT: Final = frozenset({FailureClass.TIMEOUT, FailureClass.CONNECTION_REFUSED})
log = structlog.get_logger("threada.sign_in")


def get_json(url: str, *, token: str = "") -> dict[str, Any]:
    """Return the JSON object at `url`. Raise `IdentityProviderUnavailable`."""
    headers = [("Accept", "application/json")]
    if token and not is_header_value(token):
        raise errors.IdentityTokenInvalid("The access token of the identity provider cannot be sent.")
    if token:
        headers.append(("Authorization", f"Bearer {token}"))
    status, found = _call(OutboundRequest("GET", url, tuple(headers)))
    if status != 200:
        raise errors.IdentityProviderUnavailable(
            f"The identity provider answered with status {status}. Try again later."
        )
    return found


def post_form(url: str, fields: Mapping[str, str], *, authorization: str = "") -> tuple[int, dict[str, Any]]:
    """Send a form. Return status and JSON object of the answer. Raise `IdentityProviderUnavailable`."""
    headers = [("Accept", "application/json"), ("Content-Type", "application/x-www-form-urlencoded")]
    if authorization:
        headers.append(("Authorization", authorization))
    return _call(OutboundRequest("POST", url, tuple(headers), urlencode(fields).encode()))


def get_text(url: str, *, accept: str) -> str:
    """Return the text in UTF-8 at `url`. Raise `IdentityProviderUnavailable`."""
    answer = _send(OutboundRequest("GET", url, (("Accept", accept),)))
    try:
        if answer.status == 200:
            return answer.body.decode()
    except UnicodeDecodeError:
        pass
    log.warning("identity_provider_failed", reason_code="bad_response", status=answer.status)
    raise errors.IdentityProviderUnavailable(
        f"The identity provider's metadata cannot be read (status {answer.status}). Try again later."
    )


def _send(request: OutboundRequest) -> OutboundAnswer:
    try:
        require_confidential(request.url)
        return send(
            request,
            egress=EgressPolicy(settings.THREADA_EGRESS_ALLOW),
            timeout_s=max(_SHORTEST_S, min(TIMEOUT_S, seconds_left())),
            max_body_bytes=MOST_BYTES,
        )
    except TransportFailure as failure:
        log.warning("identity_provider_failed", reason_code=str(failure.failure), detail=failure.detail)
        is_silent = failure.failure in _SILENT
        raise (ProviderSilent if is_silent else errors.IdentityProviderUnavailable) from None


def _call(request: OutboundRequest) -> tuple[int, dict[str, Any]]:
    answer = _send(request)
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        log.warning("identity_provider_failed", reason_code="bad_response", status=answer.status)
        raise errors.IdentityProviderUnavailable("The identity provider's answer is no JSON object. Try again later.")
    return answer.status, found
