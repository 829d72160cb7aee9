"""What the senders over HTTP share: the one transport with its bounds, and the secret that a delivery names."""

from __future__ import annotations

from typing import Final

from django.conf import settings

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


def secret_of(delivery: Delivery) -> tuple[SecretReference, Secret]:
    """The secret as it is now, and where it lies. Raises `TransportFailure` (`credential_unavailable`)."""
    reference = parse_reference(delivery.secret)
    if reference.source == "stored":
        return reference, reveal(reference.name, tenant_id=delivery.tenant_id, host=read_url(delivery.url).host)
    return reference, resolve(reference)
