"""Limits of the web server, read from the environment. Imports no Django: any WSGI application can be served."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Self

from threada_site.environment import flag, number, words

_MB = 1024 * 1024

type Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines in seconds and sizes in bytes. Counts and sizes apply to one process."""

    head_s: int = 10
    body_s: int = 60
    pause_s: int = 5
    bytes_per_second: int = 1_000
    send_s: int = 20
    connections: int = 4_000
    connections_per_address: int = 128
    requests_per_connection: int = 10_000
    waiting_requests: int = 1_000
    waits: int = 400
    waits_per_tenant: int = 100
    body_bytes: int = 1_048_576
    held_body_bytes: int = 64 * _MB
    held_response_bytes: int = 64 * _MB
    spool_bytes: int = 1_024 * _MB
    trusts_every_peer: bool = False
    proxies: tuple[Network, ...] = ()
    threads: int = 4

    @classmethod
    def from_environment(cls) -> Self:
        """Read all limits. Raise `SystemExit` for a value that cannot be used."""
        proxies = tuple(_network(word) for word in words("THREADA_TRUSTED_PROXIES"))
        return cls(
            head_s=_positive("THREADA_HEAD_SECONDS", number("THREADA_HEAD_SECONDS", 10)),
            body_s=_positive("THREADA_BODY_SECONDS", number("THREADA_BODY_SECONDS", 60)),
            pause_s=_positive("THREADA_BODY_PAUSE_SECONDS", number("THREADA_BODY_PAUSE_SECONDS", 5)),
            bytes_per_second=_positive("THREADA_MIN_BYTES_PER_SECOND", number("THREADA_MIN_BYTES_PER_SECOND", 1_000)),
            send_s=_positive("THREADA_SEND_SECONDS", number("THREADA_SEND_SECONDS", 20)),
            connections=_positive("THREADA_CONNECTIONS", number("THREADA_CONNECTIONS", 4_000)),
            connections_per_address=_positive(
                "THREADA_CONNECTIONS_PER_ADDRESS", number("THREADA_CONNECTIONS_PER_ADDRESS", 128)
            ),
            requests_per_connection=_positive(
                "THREADA_REQUESTS_PER_CONNECTION", number("THREADA_REQUESTS_PER_CONNECTION", 10_000)
            ),
            waiting_requests=_positive("THREADA_WAITING_REQUESTS", number("THREADA_WAITING_REQUESTS", 1_000)),
            waits=number("THREADA_WAITS", 400),
            waits_per_tenant=number("THREADA_WAITS_PER_TENANT", 100),
            body_bytes=number("THREADA_MAX_BODY_BYTES", 1_048_576),
            held_body_bytes=_MB * _positive("THREADA_HELD_BODY_MB", number("THREADA_HELD_BODY_MB", 64)),
            held_response_bytes=_MB * _positive("THREADA_HELD_RESPONSE_MB", number("THREADA_HELD_RESPONSE_MB", 64)),
            spool_bytes=_MB * _positive("THREADA_SPOOL_MB", number("THREADA_SPOOL_MB", 1_024)),
            trusts_every_peer=flag("THREADA_TRUSTED_PROXY") and not proxies,
            proxies=proxies,
        )

    def body_deadline(self, size: int) -> float:
        """Return the seconds within which byte number `size` of a body must have arrived."""
        return min(float(self.body_s), self.pause_s + size / self.bytes_per_second)


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise SystemExit(f"{name} must be at least 1.")
    return value


def _network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise SystemExit(f"THREADA_TRUSTED_PROXIES contains addresses and CIDRs, not {text!r}.") from None
