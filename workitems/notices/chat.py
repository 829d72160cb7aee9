"""Sending of one chat message to one person, by `integrations.connectors.chat_services`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.conf import settings

from integrations.attempts.failures import TransportFailure
from integrations.connectors.chat_services import SERVICES, ChatMessage, write_message
from integrations.connectors.chat_services import send_message as send_chat_message
from integrations.connectors.protocol import CallTerms
from integrations.secrets.access import require_confidential
from integrations.transport import EgressPolicy, read_url
from workitems.notices.rules import SendFailure

TIMEOUT_S: Final = 15.0
_FINAL: Final = frozenset(
    {"rejected_by_receiver", "blocked_address", "credential_unavailable", "secret_origin_refused"}
)


class UnusableChatAddress(ValueError):
    """Error for a chat address that cannot be used. The message contains no part of the address."""


def service_of(address: str) -> str:
    """Return the chat service of an address, without sending. Raise `UnusableChatAddress`.

    An IP address is checked against the egress policy here; a host name is checked when it is resolved for the call.
    """
    scheme = address.partition("://")[0].lower()
    service = next((name for name, entry in SERVICES.items() if scheme in entry.schemes), None)
    if service is None:
        known = sorted(f"{scheme}://" for entry in SERVICES.values() for scheme in entry.schemes)
        raise UnusableChatAddress(f"begins with none of {', '.join(known)}")
    try:
        written = write_message(ChatMessage("test"), service=service, address=address)
        EgressPolicy(settings.THREADA_EGRESS_ALLOW).check_url(written.request.url)
        require_confidential(written.request.url)
    except TransportFailure as failure:
        raise UnusableChatAddress(failure.detail) from None
    return service


def send_chat(text: str, *, title: str, service: str, address: str, before: Callable[[], None]) -> None:
    """Send a message once. Call `before` immediately before; its exceptions abort the attempt.

    Raise `SendFailure`. An error answer means that the message was not delivered: 4xx is final, 429 and 503 are
    retried. Any other failure after which the service may have accepted the message is ambiguous.
    """
    message = ChatMessage(text, title=title)
    try:
        written = write_message(message, service=service, address=address)
        require_confidential(written.request.url)
        url = read_url(written.request.url)
    except TransportFailure as failure:
        raise SendFailure(failure.failure.value, failure.detail, is_final=True) from None
    before()
    outcome = send_chat_message(
        message,
        service=service,
        address=address,
        base_url=f"{url.scheme}://{url.authority}/",
        terms=CallTerms(
            idempotency_key="",
            timeout_s=TIMEOUT_S,
            egress=EgressPolicy(settings.THREADA_EGRESS_ALLOW),
            user_agent=f"Threada/{settings.THREADA_VERSION}",
        ),
    )
    if outcome.failure is None:
        return
    is_away = (outcome.response or {}).get("status") == 503
    raise SendFailure(
        outcome.failure.value,
        outcome.detail,
        is_ambiguous=outcome.ambiguous and not is_away,
        is_final=outcome.failure.value in _FINAL,
        retry_after_s=outcome.retry_after_s,
    )
