"""Origins: the addresses that a secret may be sent to, as scheme, host, port and optional path prefix. Pure.

`https://api.example.com`, `https://api.example.com:8443/v1`, `smtps://mail.example.com`,
`smtp+starttls://mail.example.com:587`. An origin covers an address with the same scheme, host and port whose path lies
within the prefix. Origins and addresses that two programs could read differently are refused.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import idna

from integrations.transport import EgressPolicy, UnusableUrl, read_url
from integrations.transport.urls import DEFAULT_PORTS, MAIL_PORTS

_TEXT: Final = re.compile(
    r"(?P<scheme>https?|smtps|smtp\+starttls)://(?P<host>\[[^\]/]*\]|[^/:@?#\[\]\\]+)(?P<port>:[0-9]{1,5})?(?P<path>/[^?#]*)?",
    re.IGNORECASE,
)
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SEPARATORS: Final = re.compile(r"[/\\]")
_PORTS: Final = {**DEFAULT_PORTS, **{scheme: port for scheme, port in MAIL_PORTS.items() if scheme != "smtp"}}
_MOST_DECODINGS: Final = 5


class UnusableOrigin(ValueError):
    """A text that is not an origin, or an address that no origin can cover. The message says why."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host (lower case, IDNA), port, and the segments of the path prefix, normalised."""

    scheme: str
    host: str
    port: int
    prefix: tuple[str, ...] = ()

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}" + "".join(f"/{segment}" for segment in self.prefix)

    def covers(self, address: str) -> bool:
        """Return True if `address` has this scheme, host and port, and its path is the prefix or lies below it.

        An address that cannot be read is not covered, nor, under a prefix, one with an ambiguous path.
        """
        try:
            scheme, host, port, path = _parts(address.partition("?")[0])
            if (scheme, host, port) != (self.scheme, self.host, self.port):
                return False
            return not self.prefix or _segments(path)[: len(self.prefix)] == self.prefix
        except UnusableOrigin:
            return False


def parse_origin(text: str) -> Origin:
    """Return the origin in `scheme://host[:port][/prefix]`. Raises `UnusableOrigin`."""
    scheme, host, port, path = _parts(text)
    return Origin(scheme, host, port, _segments(path))


def is_confidential(address: str, *, egress: EgressPolicy, plain: Iterable[Origin]) -> bool:
    """Return True if a secret may be sent to `address`: over TLS, or over plain http as the operator allows.

    Plain http is allowed to loopback addresses (not names) in `egress.allow`, and to the origins in `plain`.
    """
    try:
        scheme, host, _, _ = _parts(address.partition("?")[0])
    except UnusableOrigin:
        return False
    return scheme != "http" or _is_listed_loopback(host, egress) or any(origin.covers(address) for origin in plain)


def shown_address(address: str) -> str:
    """Return scheme, host and port of an address for a message, without its path, which may contain a token."""
    try:
        scheme, host, port, _ = _parts(address.partition("?")[0])
    except UnusableOrigin:
        return "an address that cannot be read"
    return str(Origin(scheme, host, port))


def _is_listed_loopback(host: str, egress: EgressPolicy) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback and any(
        address.version == network.version and address in network for network in egress.allow
    )


def _parts(text: str) -> tuple[str, str, int, str]:
    """Return scheme, host, port and path. Raises `UnusableOrigin`."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise UnusableOrigin(
            "must be https://host[:port][/prefix], smtps://host[:port] or smtp+starttls://host[:port], without user, "
            "query and fragment"
        )
    scheme, path = match["scheme"].lower(), match["path"] or "/"
    if scheme not in DEFAULT_PORTS and path != "/":
        raise UnusableOrigin("must not have a path, because mail servers have none")
    port = int(match["port"][1:]) if match["port"] else _PORTS[scheme]
    try:
        target = read_url(f"https://{_ascii(match['host'])}:{port}{path}")
    except UnusableUrl as error:
        raise UnusableOrigin(f"must be an address that can be called: {error}") from None
    return scheme, target.host, target.port, target.path


def _ascii(host: str) -> str:
    """Return a host name in ASCII, by IDNA 2008."""
    if host.isascii():
        return host
    try:
        return idna.encode(unicodedata.normalize("NFC", host).lower()).decode()
    except idna.IDNAError:
        raise UnusableOrigin("must have a host name that IDNA 2008 allows") from None


def _segments(path: str) -> tuple[str, ...]:
    """Return the segments of a path, where escapes of plain characters are decoded and other escapes are upper-case.

    Raises `UnusableOrigin` for segments that are empty, or that some server could take for `.` or `..`.
    """
    segments = path.removeprefix("/").removesuffix("/").split("/")
    if segments == [""]:
        return ()
    for segment in segments:
        _check_segment(segment)
    return tuple(_ESCAPE.sub(_normal_escape, segment) for segment in segments)


def _check_segment(segment: str) -> None:
    if not segment:
        raise UnusableOrigin("must not have an empty segment (//) in its path")
    decoded = segment
    for _ in range(_MOST_DECODINGS):
        before = decoded
        try:
            decoded = unicodedata.normalize("NFKC", unquote(before, errors="strict"))
        except UnicodeDecodeError:
            raise UnusableOrigin("must have a path whose escapes are UTF-8") from None
        if decoded == before:
            break
    else:
        raise UnusableOrigin("must not have a path that is escaped again and again")
    if any(character < " " or character == "\x7f" for character in decoded):
        raise UnusableOrigin("must not have control characters in its path")
    if any(part.partition(";")[0].strip() in (".", "..") for part in _SEPARATORS.split(decoded)):
        raise UnusableOrigin("must not have a path with the segments . or .., in any spelling")


def _normal_escape(escape: re.Match[str]) -> str:
    character = chr(int(escape[0][1:], 16))
    return character if character in _UNRESERVED else escape[0].upper()
