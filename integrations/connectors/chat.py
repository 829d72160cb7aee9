"""The `chat` connector: one message to one channel.

The request in the envelope is `{service, base_url, address, title, text, format}`, with the channel's address by
reference, and optionally `files`, the descriptions of its attachments, whose bytes a call reads and checks first. The
format of the service is built from it at the call, see integrations.connectors.chat_services.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from integrations.attempts.failures import TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.connectors.attached_files import render_files
from integrations.connectors.chat_files import MOST_BYTES_OF_TEXT
from integrations.connectors.chat_services import ChatMessage, base_url_of, send_message
from integrations.connectors.protocol import CallTerms
from integrations.documents import ActionDocument, IntegrationDocument
from integrations.documents.chat_actions import ChatCall
from integrations.documents.templates import render
from integrations.secrets.references import parse_reference
from threada_site.kernel.errors import ExpressionFailed

MOST_ATTACHED_BYTES: Final = 10 * 1024 * 1024


class ChatConnector:
    """Sends messages to a channel of the integration's chat service."""

    name: Final = "chat"

    def build_request(
        self, integration: IntegrationDocument, action: ActionDocument, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Build the request, see `Connector.build_request`."""
        call = action.call
        if not isinstance(call, ChatCall):
            raise TypeError(f"The action {action.slug} is not one of a chat integration.")
        (address,) = integration.secrets
        files = render_files(call.files, facts, most=MOST_ATTACHED_BYTES)
        title, text = render(call.title, facts), render(call.text, facts)
        most = MOST_BYTES_OF_TEXT.get(str(integration.settings))
        if files and most and len(f"{title}{text}".encode()) > most:
            raise ExpressionFailed(f"A message of {integration.settings} with a file has at most {most} bytes.")
        return {
            **({"files": files} if files else {}),
            "service": integration.settings,
            "base_url": integration.base_url,
            "address": address.as_json(),
            "title": title,
            "text": text,
            "format": call.format,
        }

    def call(self, request: Mapping[str, Any], terms: CallTerms) -> Outcome:
        """Send the message, see `OutboundConnector.call`."""
        files = request.get("files", ())
        sent_to = base_url_of(request["service"], request["base_url"]) or ""
        try:
            address = terms.secret(parse_reference(request["address"]), sent_to=sent_to).reveal()
        except TransportFailure as failure:
            return Outcome.of_failure(failure)
        message = ChatMessage(request["text"], title=request["title"], format=request["format"])
        return send_message(
            message,
            service=request["service"],
            address=address,
            base_url=request["base_url"],
            terms=terms,
            files=files,
        )
