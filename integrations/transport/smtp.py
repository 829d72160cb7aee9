"""Outbound mail (RFC 5321): checked and pinned address, one deadline, bounded replies.

The client of the standard library resolves names itself, has no total deadline, and reads replies of any length.
"""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import httpcore

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.transport.client import verifying_context
from integrations.transport.egress import EgressPolicy
from integrations.transport.network import Deadline, Network, PinnedBackend, SystemNetwork, UnusableAnswer
from integrations.transport.pinning import checked_addresses

_SYSTEM: Final = SystemNetwork()
_CRLF: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class MailRoute:
    """Mail server, protocol and credentials."""

    scheme: Literal["smtp", "smtp+starttls", "smtps"]
    host: str
    port: int
    username: str | None = None
    password: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """Return a URL for the egress check. The scheme does not affect the address of the connection."""
        return f"https://[{self.host}]:{self.port}" if ":" in self.host else f"https://{self.host}:{self.port}"


def send_mail(
    message: bytes,
    *,
    sender: str,
    recipients: Sequence[str],
    route: MailRoute,
    egress: EgressPolicy,
    timeout_s: float,
    network: Network = _SYSTEM,
    tls: ssl.SSLContext | None = None,
) -> str:
    """Send one message (RFC 5322, lines end in CR LF) to all recipients, or to none. Return the server's reply.

    Raises only `TransportFailure`, which is ambiguous only if the whole message was written and no reply arrived.
    """
    deadline = Deadline(timeout_s)
    target = egress.check_url(route.url)
    addresses = checked_addresses(target, egress, network, deadline)
    talk = _Talk(PinnedBackend(addresses, network=network, deadline=deadline), tls or verifying_context())
    try:
        talk.open(route)
        return talk.deliver(message, sender, recipients)
    except (httpcore.TimeoutException, TimeoutError) as error:
        detail = f"The mail server did not answer within {timeout_s:g} s."
        raise TransportFailure(FailureClass.TIMEOUT, detail, ambiguous=talk.is_written) from error
    except (httpcore.NetworkError, UnusableAnswer) as error:
        if not talk.is_connected and not isinstance(error, UnusableAnswer):
            detail = f"No connection to {route.host}:{route.port}: {error}"
            raise TransportFailure(FailureClass.CONNECTION_REFUSED, detail) from error
        detail = str(error) if isinstance(error, UnusableAnswer) else "The connection to the mail server broke off."
        raise TransportFailure(FailureClass.BAD_RESPONSE, detail, ambiguous=talk.is_written) from error
    finally:
        talk.close()


class _Talk:
    """One SMTP session."""

    def __init__(self, backend: PinnedBackend, tls: ssl.SSLContext) -> None:
        self._backend = backend
        self._tls = tls
        self._stream: httpcore.NetworkStream | None = None
        self._read = b""
        self.is_connected = False
        self.is_written = False

    def open(self, route: MailRoute) -> None:
        """Connect, start TLS if the route requires it, and authenticate. Sends no credentials without TLS."""
        self._stream = self._backend.connect_tcp(route.host, route.port)
        if route.scheme == "smtps":
            self._encrypt(route.host)
        self._expect(220)
        self.is_connected = True
        offered = self._greet()
        if route.scheme == "smtp+starttls":
            if "STARTTLS" not in offered:
                raise _refused("The mail server offers no STARTTLS.")
            self._say("STARTTLS", 220)
            if self._read:
                raise UnusableAnswer("The mail server sent on before TLS was agreed.")
            self._encrypt(route.host)
            self._greet()
        if route.username is not None:
            if route.scheme == "smtp":
                raise _refused("A password is not sent without TLS.")
            token = base64.b64encode(f"\0{route.username}\0{route.password}".encode()).decode()
            self._say(f"AUTH PLAIN {token}", 235)

    def deliver(self, message: bytes, sender: str, recipients: Sequence[str]) -> str:
        self._say(f"MAIL FROM:<{sender}>", 250)
        for recipient in recipients:
            self._say(f"RCPT TO:<{recipient}>", 250, 251)
        self._say("DATA", 354)
        lines = message.removesuffix(_CRLF).split(_CRLF)
        self.is_written = True  # the server may deliver after the last byte; losing the connection before cancels
        self._write(_CRLF.join(b"." + line if line.startswith(b".") else line for line in lines) + b"\r\n.\r\n")
        return self._expect(250)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def _encrypt(self, host: str) -> None:
        assert self._stream is not None  # noqa: S101
        self._stream = self._stream.start_tls(self._tls, host)

    def _greet(self) -> set[str]:
        """Send EHLO. Return the extensions offered by the server."""
        answer = self._say(f"EHLO {_own_name()}", 250)
        return {line.split(" ")[0].upper() for line in answer.split("\n")[1:]}

    def _say(self, line: str, *expected: int) -> str:
        if "\r" in line or "\n" in line or not line.isascii():
            raise _refused("A command to the mail server would be more than one line of ASCII.")
        self._write(line.encode("ascii") + _CRLF)
        return self._expect(*expected)

    def _write(self, data: bytes) -> None:
        assert self._stream is not None  # noqa: S101
        self._stream.write(data)

    def _expect(self, *codes: int) -> str:
        """Return the text of the next reply. Raises `TransportFailure` if its code is none of `codes`."""
        lines: list[str] = []
        while True:
            line = self._line()
            if len(line) < 3 or not line[:3].isdigit() or line[3:4] not in ("", " ", "-"):
                raise UnusableAnswer("What answers is not a mail server.")
            lines.append(line[4:])
            if line[3:4] != "-":
                break
        code = int(line[:3])
        if code not in codes:
            self.is_written = False
            raise _judged(code)
        return "\n".join(lines)

    def _line(self) -> str:
        assert self._stream is not None  # noqa: S101
        while b"\n" not in self._read:
            received = self._stream.read(4096)
            if not received:
                raise httpcore.ReadError("The mail server closed the connection.")
            self._read += received
        line, _, self._read = self._read.partition(b"\n")
        return line.decode("latin-1").rstrip("\r")


def _judged(code: int) -> TransportFailure:
    """Return the failure for an unexpected reply. 4yz asks for another attempt (RFC 5321, 4.2.1); nothing was
    delivered."""
    failure = FailureClass.RECEIVER_RATE_LIMITED if 400 <= code < 500 else FailureClass.REJECTED_BY_RECEIVER
    return TransportFailure(failure, f"The mail server answered {code}.", status=code)


def _refused(detail: str) -> TransportFailure:
    return TransportFailure(FailureClass.REJECTED_BY_RECEIVER, detail)


def _own_name() -> str:
    name = socket.gethostname()
    return name if name.isascii() and name.replace("-", "").replace(".", "").isalnum() else "localhost"
