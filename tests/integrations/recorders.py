"""Replacements of the machine's network that send no packet and record the dialled addresses."""

from __future__ import annotations

import ipaddress
import socket

from integrations.transport import Deadline, SystemNetwork


class RecordingNetwork:
    """Resolves names from a table (and literal addresses through the system).

    Dials loopback only, if `dials` is set.
    """

    def __init__(self, names: dict[str, list[str]] | None = None, *, dials: bool = False) -> None:
        self.names = names or {}
        self.dials = dials
        self.resolved: list[str] = []
        self.dialled: list[tuple[str, int]] = []

    def resolve(self, host: str, port: int, deadline: Deadline) -> list[str]:
        self.resolved.append(host)
        if host in self.names:
            return self.names[host]
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        return [str(entry[4][0]) for entry in found]

    def dial(self, address: str, port: int, timeout_s: float) -> socket.socket:
        self.dialled.append((address, port))
        if self.dials and ipaddress.ip_address(address).is_loopback:
            return SystemNetwork().dial(address, port, timeout_s)
        raise ConnectionRefusedError("the recorder dials nothing")
