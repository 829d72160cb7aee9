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
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from integrations.documents.fields import Fields
from integrations.documents.grammar import OUTBOUND_ACTION, OUTBOUND_SPEC, Destination, read_secret
from integrations.documents.templates import Place, Template
from integrations.secrets.references import SecretReference
from integrations.transport.urls import Target, UnusableUrl, read_url

PORTS: Final = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
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


class MailGrammar:
    spec_fields = OUTBOUND_SPEC | {"server", "auth", "from"}

    def action_fields(self, slug: str) -> Collection[str]:
        return OUTBOUND_ACTION | {"to", "cc", "reply_to", "subject", "text"}

    def read_spec(self, spec: Fields) -> Destination:
        scheme, target = _read_server(spec)
        username, secret = None, None
        if "auth" in spec:
            auth = spec.object("auth", known=("username", "secret"))
            username = auth.text("username", required=True)
            secret = read_secret(auth, "secret", required=True)
            if scheme == "smtp":
                spec.refuse("is not sent over a connection without TLS. Use smtps:// or smtp+starttls://", "auth")
        sender = spec.text("from", required=True)
        if sender is not None and address_in(sender) is None:
            spec.refuse("is no mail address", "from")
        if target is None or sender is None:
            return Destination()
        return Destination(
            origin=target,
            secrets=() if secret is None else (secret,),
            settings=MailServer(scheme, target.host, target.port, sender, username, secret),
        )

    def read_call(self, slug: str, action: Fields, destination: Destination) -> MailCall | None:
        if "to" not in action:
            if action.is_object:
                action.refuse("is required", "to", code="required")
            return None
        subject, text = action.text("subject", required=True), action.text("text", required=True)
        if subject is None or text is None:
            return None
        for name in ("to", "cc", "reply_to"):
            _check_addresses(action, name)
        return MailCall(
            to=action.template("to"),
            cc=action.template("cc") if "cc" in action else Template([]),
            reply_to=action.template("reply_to") if "reply_to" in action else Template([]),
            subject=action.template("subject", Place.TEXT),
            text=action.template("text", Place.TEXT),
        )


def address_in(mailbox: str) -> str | None:
    """Return the address in `ann@example.com` or `Ann <ann@example.com>`, or None unless it is exactly one ASCII
    address."""
    match = _MAILBOX.fullmatch(mailbox)
    return (match["bare"] or match["named"]) if match else None


def _read_server(spec: Fields) -> tuple[str, Target | None]:
    text = spec.text("server", required=True)
    match = _SERVER.fullmatch(text) if text else None
    if text and not match:
        spec.refuse("must be smtps://host[:port], smtp+starttls://host[:port] or smtp://host[:port]", "server")
    if not match:
        return "", None
    named = match["rest"] if re.search(r":\d+\Z", match["rest"]) else f"{match['rest']}:{PORTS[match['scheme']]}"
    try:
        return match["scheme"], read_url(f"https://{named}")
    except UnusableUrl as error:
        spec.refuse(str(error), "server")
        return match["scheme"], None


def _check_addresses(action: Fields, name: str) -> None:
    written = action.raw(name) if name in action else []
    for address in written if isinstance(written, list) else [written]:
        if not isinstance(address, str) or ("${" not in address and address_in(address) is None):
            action.refuse("must be a mail address, one ${ … }, or a list of such", name)
            return
