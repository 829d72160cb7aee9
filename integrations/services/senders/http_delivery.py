"""What the senders over HTTP share: the one transport with its bounds, and the secret that a delivery names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.conf import settings

from integrations.attempt_failures import FailureClass, TransportFailure
from integrations.secrets import Secret, SecretReference, parse_reference, resolve
from integrations.services.vault import reveal
from integrations.transport import EgressPolicy, OutboundAnswer, OutboundRequest, read_url, send
from telemetry.models import Delivery

TIMEOUT_S: Final = 15.0
MAX_ANSWER_BYTES: Final = 64 * 1024


def post(url: str, headers: tuple[tuple[str, str], ...], body: bytes) -> OutboundAnswer:
    """One POST to an allowed address. Raises `TransportFailure`."""
    return send(
        OutboundRequest("POST", url, headers, body),
        egress=EgressPolicy(settings.THREADA_EGRESS_ALLOW),
        timeout_s=TIMEOUT_S,
        max_body_bytes=MAX_ANSWER_BYTES,
    )


def with_secret[T](delivery: Delivery, use: Callable[[str], T]) -> T:
    """What `use` makes of the secret as it is now; a `ValueError` of its says what is wrong with it.

    Raises `TransportFailure` (`credential_unavailable`).
    """
    reference = parse_reference(delivery.secret)
    secret = _secret(reference, delivery)
    try:
        return use(secret.reveal())
    except ValueError as error:
        raise TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, f"The secret {reference} {error}.") from None


def _secret(reference: SecretReference, delivery: Delivery) -> Secret:
    if reference.source == "stored":
        return reveal(reference.name, tenant_id=delivery.tenant_id, host=read_url(delivery.url).host)
    return resolve(reference)
