"""Strict parser of outbound URLs: one grammar, so that no two parsers see different hosts in one URL."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

MAX_URL_LENGTH: Final = 8192
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
MAIL_PORTS: Final = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}

_URL: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:\[(?P<ipv6>[0-9a-f:.]{2,45})\]|(?P<name>[a-z0-9_.-]{1,253}))"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#]*)?"
    r"(?:\?(?P<query>[^#]*))?",
    re.IGNORECASE | re.ASCII,
)
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE | re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE | re.ASCII)
_PATH_AND_QUERY: Final = re.compile(r"(?:[A-Za-z0-9/?:@!$&'()*+,;=._~-]|%[0-9A-Fa-f]{2})*", re.ASCII)


class UnusableUrl(ValueError):
    """A URL that may not be called. The message says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Target of a request. `host` is lower-case, without brackets; `path` includes the query and is sent unchanged."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """Return the `Host` header: IPv6 in brackets, the port only if it is not the default of the scheme."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def read_url(url: str) -> Target:
    """Return the target of an absolute http or https URL in plain ASCII.

    Raises `UnusableUrl` for user info, fragments, other schemes, spaces, control characters, backslashes, non-ASCII
    names, numbers that some parsers take for an address (`127.1`, `0x7f000001`, `2130706433`), zone ids, empty labels,
    and invalid percent-encoding.
    """
    if len(url) > MAX_URL_LENGTH:
        raise UnusableUrl(f"The URL is longer than {MAX_URL_LENGTH} characters.")
    match = _URL.fullmatch(url)
    if not match:
        raise UnusableUrl(f"{url[:100]!r} is not an http or https URL: scheme://host[:port][/path][?query] in ASCII.")
    scheme = match["scheme"].lower()
    port = int(match["port"]) if match["port"] else DEFAULT_PORTS[scheme]
    if not 0 < port < 65536:
        raise UnusableUrl(f"The port {port} does not exist. Use 1 to 65535.")
    path = (match["path"] or "/") + (f"?{match['query']}" if match["query"] is not None else "")
    if not _PATH_AND_QUERY.fullmatch(path):
        raise UnusableUrl("The path or query holds a character that must be percent-encoded.")
    return Target(scheme, _read_host(match["ipv6"], match["name"]), port, path)


def _read_host(ipv6: str | None, name: str | None) -> str:
    if name is None:
        try:
            return str(ipaddress.IPv6Address(ipv6 or ""))
        except ValueError:
            raise UnusableUrl(f"[{ipv6}] is no IPv6 address.") from None
    labels = name.lower().split(".")
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise UnusableUrl(
            f"{name[:100]!r} is not a host name: labels of letters, digits and hyphens, separated by one dot."
        )
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise UnusableUrl(f"{name!r} reads as a number. Write an IPv4 address as four decimal parts.") from None
    return ".".join(labels)
