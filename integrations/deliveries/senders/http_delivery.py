"""Shared code of the HTTP senders: the POST request with its limits, and the secret of a delivery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.conf import settings

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.secrets.access import SecretAccess
from integrations.secrets.references import parse_reference
from integrations.transport import EgressPolicy, OutboundAnswer, OutboundRequest, send
from telemetry.models import Delivery

TIMEOUT_S: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 * 1024


def post(url: str, headers: tuple[tuple[str, str], ...], body: bytes) -> OutboundAnswer:
    """Send one POST request to an allowed address. Raises `TransportFailure`."""
    return send(
        OutboundRequest("POST", url, headers, body),
        egress=EgressPolicy(settings.THREADA_EGRESS_ALLOW),
        timeout_s=TIMEOUT_S,
        max_body_bytes=MAX_ANSWER_BYTES,
    )


def with_secret[T](delivery: Delivery, use: Callable[[str], T]) -> T:
    """Return the result of `use` for the current secret. A `ValueError` of `use` describes an invalid secret.

    Raises `TransportFailure` (`credential_unavailable`, `secret_origin_refused`).
    """
    reference = parse_reference(delivery.secret)
    secret = SecretAccess(delivery.tenant_id, delivery.tenant.slug)(reference, delivery.url)
    try:
        return use(secret.reveal())
    except ValueError as error:
        raise TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, f"The secret {reference} {error}.") from None
