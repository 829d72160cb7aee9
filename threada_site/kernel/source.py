"""Source of a request: address, network and user agent of the client, which are personal data. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from threada_site.kernel.sentences import sentence

_PREFIXES: Final = {4: 24, 6: 48}


@dataclass(frozen=True, slots=True)
class Source:
    """Address and user agent of a client; empty if unknown."""

    address: str = ""
    user_agent: str = ""

    @property
    def network(self) -> str | None:
        """Return the network of the address: /24 for IPv4, /48 for IPv6; None for this machine or no address."""
        address = parse_address(self.address)
        if address is None or address.is_loopback:
            return None
        return str(ip_network((address, _PREFIXES[address.version]), strict=False))

    @property
    def client_key(self) -> str:
        """Return the address, or for IPv6 its /64 network, because one client has all of it; "" if it is unknown."""
        address = parse_address(self.address)
        return str(ip_network((address, 64), strict=False)) if isinstance(address, IPv6Address) else self.address


_BROWSERS: Final = {
    "Edg": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "FxiOS/": "Firefox", "CriOS/": "Chrome",
    "Chrome/": "Chrome", "Safari/": "Safari",
}  # fmt: skip
_SYSTEMS: Final = {
    "Windows": "Windows", "Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Mac OS X": "macOS",
    "CrOS": "ChromeOS", "Linux": "Linux",
}  # fmt: skip


def device_of(user_agent: str) -> str:
    """Return browser and system that a user agent names, such as `Firefox on Linux`; the client may have lied."""
    browser = next((name for mark, name in _BROWSERS.items() if mark in user_agent), sentence("Unknown browser"))
    system = next((name for mark, name in _SYSTEMS.items() if mark in user_agent), "")
    return sentence("{browser} on {system}", browser=browser, system=system) if system else browser


def source_of(meta: Mapping[str, Any], *, is_behind_proxy: bool) -> Source:
    """Return the source of an HTTP request from its WSGI environment.

    Behind the trusted proxy, the address is the last one in `X-Forwarded-For`, which the proxy has added itself.
    Without a trusted proxy, the header may contain anything and is ignored.
    """
    sent = meta.get("HTTP_X_FORWARDED_FOR", "") if is_behind_proxy else ""
    address = parse_address(sent.rpartition(",")[2] if sent else meta.get("REMOTE_ADDR", ""))
    agent = "".join(sign for sign in meta.get("HTTP_USER_AGENT", "")[:300] if sign.isprintable())
    return Source(address="" if address is None else str(address), user_agent=agent)


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in `text`, with or without a port; None if there is none."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
