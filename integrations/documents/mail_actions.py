"""Documents of the `mail` connector.

connector: mail
server: smtp+starttls://mail.example.com:587    # or smtps://…:465; smtp://…:25 (no TLS) takes no auth
auth: {username: threada, secret: {env: MAIL_PASSWORD}}
from: "Payments <payments@example.com>"
actions:
  tell_vendor:
    to: "${item.payload.email}"                 # or a list of up to 50
    cc: [accounts@example.com]
    reply_to: payments@example.com
    subject: "Payment for ${item.payload.vendor}"
    text: "It is on its way."
    files: ["${item.payload.invoice}"]          # attachments of the message
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from integrations.documents.fields import Fields
from integrations.documents.files import files_schema, read_files
from integrations.documents.grammar import Destination, read_secrets
from integrations.documents.schema import SECRET, filled_text, integration_schema
from integrations.documents.templates import Place, Template
from integrations.secrets.references import SecretReference
from integrations.transport.urls import MAIL_PORTS, Target, UnusableUrl, read_url
from threada_site.kernel.documents.structure import Schema, closed_object

_ADDRESS_ADVICE: Final = "Write a mail address, one ${ … }, or a list of such."
_SERVER: Final = re.compile(r"(?P<scheme>smtp|smtps|smtp\+starttls)://(?P<rest>[^/?#@]+)/?", re.ASCII)
_ADDRESS: Final = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
_MAILBOX: Final = re.compile(rf'(?P<bare>{_ADDRESS})|(?P<name>[^<>",;:@\\\x00-\x1f\x7f]*)<(?P<named>{_ADDRESS})>')


@dataclass(frozen=True, slots=True)
class MailServer:
    """Mail server and sender of the messages."""

    scheme: str
    host: str
    port: int
    sender: str
    username: str | None = None
    secret: SecretReference | None = None

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class MailCall:
    """The message of an action, as templates. Addresses render to a string or a list of strings."""

    to: Template
    cc: Template
    reply_to: Template
    subject: Template
    text: Template
    files: tuple[Template, ...] = ()


_ADDRESSES: Final[Schema] = {
    "type": ["string", "array"],
    "items": {"type": "string"},
    "examples": ["${item.payload.email}"],
    "errorMessage": _ADDRESS_ADVICE,
}


class MailGrammar:
    schema = integration_schema(
        {
            "server": filled_text(
                "Address of the mail server: smtps://host[:port], smtp+starttls://host[:port] or smtp://host[:port] "
                "(no TLS).",
                examples=["smtp+starttls://mail.example.com"],
            ),
            "auth": closed_object(
                {
                    "username": filled_text("User of the mail server.", examples=["payments@example.com"]),
                    "secret": SECRET,
                },
                required=("username", "secret"),
                description="Login at the mail server.",
            ),
            "from": filled_text("Sender.", examples=["Payments <payments@example.com>"]),
        },
        required=("server", "from"),
        action={
            "to": {**_ADDRESSES, "description": "Recipients, one or a list."},
            "cc": {**_ADDRESSES, "description": "Recipients of a copy."},
            "reply_to": {**_ADDRESSES, "description": "Addresses of replies."},
            "subject": filled_text("Subject; can contain ${ … }.", examples=["Payment of ${item.payload.vendor}"]),
            "text": filled_text("Text; can contain ${ … }.", examples=["${item.payload.vendor} was paid."]),
            "files": files_schema("Attachments of the message, at most 10 MiB together."),
        },
        action_required=("to", "subject", "text"),
        description="Mail server.",
    )

    def read_spec(self, spec: Fields) -> Destination:
        scheme, target = _read_server(spec)
        auth = spec.object("auth")
        secrets = read_secrets(auth, "secret")
        if "auth" in spec and scheme == "smtp":
            said = "Credentials are not sent over a connection without TLS. Use smtps:// or smtp+starttls://."
            spec.refuse(said, "auth")
        sender = spec.value("from")
        if sender is not None and address_in(sender) is None:
            spec.refuse(f"{sender[:60]!r} is not a mail address.", "from")
        if target is None or sender is None:
            return Destination()
        server = MailServer(
            scheme, target.host, target.port, sender, auth.value("username"), secrets[0] if secrets else None
        )
        return Destination(origin=target, sent_to=server.url, secrets=secrets, settings=server)

    def read_call(self, slug: str, action: Fields, destination: Destination) -> MailCall:
        for name in ("to", "cc", "reply_to"):
            _check_addresses(action, name)
        return MailCall(
            to=action.template("to"),
            cc=action.template("cc", default=[]),
            reply_to=action.template("reply_to", default=[]),
            subject=action.template("subject", Place.TEXT),
            text=action.template("text", Place.TEXT),
            files=read_files(action),
        )


def address_in(mailbox: str) -> str | None:
    """Return the address in `ann@example.com` or `Ann <ann@example.com>`, or None unless it is exactly one ASCII
    address."""
    match = _MAILBOX.fullmatch(mailbox)
    return (match["bare"] or match["named"]) if match else None


def _read_server(spec: Fields) -> tuple[str, Target | None]:
    text = spec.value("server")
    match = _SERVER.fullmatch(text) if text else None
    if match is None:
        if text:
            said = "server must be smtps://host[:port], smtp+starttls://host[:port] or smtp://host[:port]."
            spec.refuse(said, "server")
        return "", None
    named = match["rest"] if re.search(r":\d+\Z", match["rest"]) else f"{match['rest']}:{MAIL_PORTS[match['scheme']]}"
    try:
        return match["scheme"], read_url(f"https://{named}")
    except UnusableUrl as error:
        spec.refuse(str(error), "server")
        return match["scheme"], None


def _check_addresses(action: Fields, name: str) -> None:
    written = action.value(name, [])
    for address in written if isinstance(written, list) else [written]:
        if "${" not in address and address_in(address) is None:
            action.refuse(_ADDRESS_ADVICE, name)
            return
