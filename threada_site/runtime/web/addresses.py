"""Addresses of clients: that of the connection, or the one that a trusted proxy forwards."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_network

from threada_site.kernel.source import parse_address
from threada_site.runtime.web.limits import Limits, Network


@dataclass(frozen=True, slots=True)
class Client:
    """`address`: for logs and the application. `key`: what limits count by. `is_limited`: False for a proxy."""

    address: str
    key: str
    is_limited: bool = True


class Addresses:
    """Finds the client of a request behind the trusted proxies of `limits`."""

    def __init__(self, limits: Limits) -> None:
        self._proxies = limits.proxies
        self._trusts_every_peer = limits.trusts_every_peer

    def is_proxy(self, peer: str) -> bool:
        """Return True if `peer` may forward the requests of others."""
        return self._trusts_every_peer or _is_in(peer, self._proxies)

    def client(self, peer: str, forwarded_for: str) -> Client:
        """Return the client of a request on a connection from `peer`.

        `forwarded_for`: value of X-Forwarded-For, whose entries may have ports. They are read from the right: each was
        added by the hop on its right, so entries left of the first untrusted hop can be invented and are not used.
        """
        if not self.is_proxy(peer):
            return Client(peer, key_of(peer))
        for entry in reversed(forwarded_for.split(",")):
            parsed = _parsed(entry)
            if parsed is None:
                break
            address = str(parsed)
            if self._trusts_every_peer or not _is_in(address, self._proxies):
                return Client(address, key_of(address))
        return Client(peer, key_of(peer), is_limited=False)


@lru_cache(4096)
def key_of(address: str) -> str:
    """Return the address, or for IPv6 its /64 network: one client owns all of it."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return address if parsed is None else str(parsed)


def host_of(peer: str) -> str:
    """Return the address of `address:port` or `[address]:port`."""
    return peer.rpartition(":")[0].strip("[]")


_parsed = lru_cache(4096)(parse_address)


@lru_cache(4096)
def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)
