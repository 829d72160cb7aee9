"""The `mail` connector: one message, passed to the integration's mail server.

The request in the envelope is `{server, username, secret, from, to, cc, reply_to, subject, text}`; `to`, `cc` and
`reply_to` are lists of addresses, `username` and `secret` (by reference) may be null. With files, it also has
`files`, the descriptions of the attachments, whose bytes a call reads and checks first. A call adds Date, and a
Message-ID that is the same for every attempt of the execution. A mail server delivers a repeated message twice:
`idempotent: true` is wrong unless the recipient checks the Message-ID.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any, Final, Literal, cast
from urllib.parse import urlsplit

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.connectors.attached_files import media_type_of, render_files, whole_file
from integrations.connectors.protocol import CallTerms
from integrations.documents import ActionDocument, IntegrationDocument
from integrations.documents.mail_actions import MailCall, MailServer, address_in
from integrations.documents.templates import Template, render
from integrations.secrets.references import parse_reference
from integrations.transport.smtp import MailRoute, send_mail
from threada_site.kernel.errors import ExpressionFailed

MOST_RECIPIENTS: Final = 50
LONGEST_SUBJECT: Final = 500
MOST_ATTACHED_BYTES: Final = 10 * 1024 * 1024


class MailConnector:
    """Sends messages through the mail server of the integration only."""

    name: Final = "mail"

    def build_request(
        self, integration: IntegrationDocument, action: ActionDocument, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Build the request, see `Connector.build_request`."""
        call, server = action.call, integration.settings
        if not isinstance(call, MailCall) or not isinstance(server, MailServer):
            raise TypeError(f"The action {action.slug} is not one of a mail integration.")
        subject = render(call.subject, facts)
        if len(subject) > LONGEST_SUBJECT or any(character < " " for character in subject):
            raise ExpressionFailed(f"The subject must be one line of at most {LONGEST_SUBJECT} characters.")
        files = render_files(call.files, facts, most=MOST_ATTACHED_BYTES)
        request = {
            **({"files": files} if files else {}),
            "server": server.url,
            "username": server.username,
            "secret": None if server.secret is None else server.secret.as_json(),
            "from": server.sender,
            "to": _addresses("to", call.to, facts),
            "cc": _addresses("cc", call.cc, facts),
            "reply_to": _addresses("reply_to", call.reply_to, facts),
            "subject": subject,
            "text": render(call.text, facts),
        }
        if not 1 <= len(request["to"]) + len(request["cc"]) <= MOST_RECIPIENTS or not request["to"]:
            raise ExpressionFailed(f"A message goes to 1 to {MOST_RECIPIENTS} people.")
        return request

    def call(self, request: Mapping[str, Any], terms: CallTerms) -> Outcome:
        """Send the message, see `OutboundConnector.call`."""
        try:
            route = _route(request, terms)
            said = send_mail(
                _message(request, terms),
                sender=_address(request["from"]),
                recipients=[_address(mailbox) for mailbox in (*request["to"], *request["cc"])],
                route=route,
                egress=terms.egress,
                timeout_s=terms.timeout_s,
                network=terms.network,
                tls=terms.tls,
            )
        except TransportFailure as failure:
            return Outcome.of_failure(failure)
        return Outcome(response={"status": 250, "detail": said.replace(route.password or "\n", " ")[:500]})


def _addresses(name: str, template: Template, facts: Mapping[str, Any]) -> list[str]:
    value = render(template, facts)
    addresses = [value] if isinstance(value, str) else value
    if not isinstance(addresses, list):
        raise ExpressionFailed(f"{name} must be a mail address or a list of them.")
    for address in addresses:
        if not isinstance(address, str) or address_in(address) is None:
            raise ExpressionFailed(f"{name} contains something that is not a mail address in ASCII.")
    return addresses


def _address(mailbox: str) -> str:
    address = address_in(mailbox)
    if address is None:
        raise TransportFailure(FailureClass.ENVELOPE_MISMATCH, "The message contains an invalid mail address.")
    return address


def _route(request: Mapping[str, Any], terms: CallTerms) -> MailRoute:
    parts = urlsplit(request["server"])
    secret = request["secret"]
    return MailRoute(
        scheme=cast("Literal['smtp', 'smtp+starttls', 'smtps']", parts.scheme),
        host=parts.hostname or "",
        port=parts.port or 0,
        username=request["username"],
        password="" if secret is None else terms.secret(parse_reference(secret), sent_to=request["server"]).reveal(),
    )


def _message(request: Mapping[str, Any], terms: CallTerms) -> bytes:
    """Return the message as sent.

    The email library refuses line breaks in headers, so that no header can be injected.
    """
    domain = _address(request["from"]).partition("@")[2]
    message = EmailMessage(policy=SMTP)
    try:
        for name, value in (
            ("Date", terms.now.strftime("%a, %d %b %Y %H:%M:%S +0000")),
            ("Message-ID", f"<{terms.idempotency_key}@{domain}>"),
            ("From", request["from"]),
            ("To", ", ".join(request["to"])),
            ("Cc", ", ".join(request["cc"])),
            ("Reply-To", ", ".join(request["reply_to"])),
            ("Subject", request["subject"]),
        ):
            if value:
                message[name] = value
        message.set_content(request["text"])
        for about in request.get("files", ()):
            kind, _slash, subtype = media_type_of(about).partition("/")
            content = whole_file(about, terms)
            message.add_attachment(content, maintype=kind, subtype=subtype, filename=about["name"])
        return message.as_bytes()
    except ValueError as error:
        raise TransportFailure(
            FailureClass.ENVELOPE_MISMATCH, f"The message cannot be sent as the envelope contains it: {error}"
        ) from None
