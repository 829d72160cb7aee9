"""Addresses that may be called: globally routable unicast, and those allowed by the instance's operator.

The tables follow the IANA special-purpose registries (RFC 6890, updated by RFC 8190). They are written out, so that
they do not depend on the Python version. IPv6 is limited to 2000::/3, which contains all allocated global unicast
addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.transport.urls import Target, UnusableUrl, read_url

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address
type Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_DENIED_V4: Final = tuple(
    (ipaddress.IPv4Network(block), word)
    for block, word in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier (CGNAT)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local (cloud metadata)"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("168.63.129.16/32", "a cloud's metadata service"),
    )
)
_DENIED_V6: Final = tuple(
    (ipaddress.IPv6Network(block), word)
    for block, word in (
        ("::1/128", "loopback"),
        ("::/128", "unspecified"),
        ("::ffff:0:0:0/96", "a translated IPv4 address"),
        ("::/96", "an IPv4-compatible address"),
        ("64:ff9b:1::/48", "a local translation of IPv4"),
        ("100::/64", "discarded"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
        ("2001::/32", "a Teredo tunnel"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "a 6to4 tunnel"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "reserved"),
    )
)
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP: Final = (0x00005EFE, 0x02005EFE)


class EgressPolicy:
    """Checks outbound addresses. Immutable and thread-safe."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        """Create a policy. `allow` contains CIDRs or addresses (`THREADA_EGRESS_ALLOW`).

        Raises `ValueError` for an invalid one.
        """
        self.allow: tuple[Network, ...] = tuple(_read_network(entry) for entry in allow)

    def check_address(self, address: str) -> Address:
        """Return the address to dial. Raises `TransportFailure` (`blocked_address`) unless it may be called.

        An IPv4-mapped address is checked and dialled as the IPv4 address inside it. One behind NAT64 needs a public
        IPv4 address inside. Other embeddings of IPv4 (compatible, translated, 6to4, Teredo, ISATAP) are refused.
        """
        try:
            read = ipaddress.ip_address(address)
        except ValueError:
            raise _blocked(f"{address[:60]!r} is not an address.") from None
        plain = _without_mapping(read)
        if getattr(plain, "scope_id", None):
            raise _blocked(f"{address[:60]!r} names a network interface.")
        if any(plain.version == network.version and plain in network for network in self.allow):
            return plain
        word = _denied_as(plain)
        if word:
            raise _blocked(f"{plain} is {word}, and only public addresses may be called.")
        return plain

    def check_url(
        self,
        url: str,
        *,
        allowed_host: str | None = None,
        allowed_scheme: str | None = None,
        allowed_port: int | None = None,
    ) -> Target:
        """Return the target of a valid `url` that matches the allowed host, scheme and port.

        Raises `TransportFailure` (`blocked_address`). Checks a literal address immediately, a name when it is resolved.
        """
        try:
            target = read_url(url)
        except UnusableUrl as error:
            raise _blocked(str(error)) from None
        for part, wanted in (("host", allowed_host), ("scheme", allowed_scheme), ("port", allowed_port)):
            if wanted is not None and getattr(target, part) != wanted:
                raise _blocked(f"The {part} {getattr(target, part)} is not the integration's own ({wanted}).")
        if _is_address(target.host):
            self.check_address(target.host)
        return target


def _read_network(entry: str) -> Network:
    try:
        return ipaddress.ip_network(entry.strip())
    except ValueError as error:
        raise ValueError(f"THREADA_EGRESS_ALLOW: {entry!r} is no CIDR ({error}). Write e.g. 10.1.0.0/16.") from None


def _without_mapping(address: Address) -> Address:
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if inner is None else inner


def _denied_as(address: Address) -> str | None:
    """Return the reason why `address` may not be called, or None for a public address."""
    if isinstance(address, ipaddress.IPv4Address):
        return next((word for block, word in _DENIED_V4 if address in block), None)
    if address in _NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        word = _denied_as(inner)
        return f"a translation of {inner}, which is {word}" if word else None
    found = next((word for block, word in _DENIED_V6 if address in block), None)
    if found:
        return found
    if address not in _GLOBAL_V6:
        return "not allocated for public use"
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return "an ISATAP tunnel"
    return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _blocked(detail: str) -> TransportFailure:
    return TransportFailure(FailureClass.BLOCKED_ADDRESS, detail)
