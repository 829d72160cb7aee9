"""Free ports for the servers that tests start."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from pathlib import Path


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port that nothing listens on, below those the kernel gives to outgoing connections.

    A port of that range could be taken by any connection before the server binds it. Raise AssertionError after 200
    ports in use.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(10_000, min(first, 32_768)), 200):
        with suppress(OSError), socket.socket() as probe:
            probe.bind((address, port))
            return port
    raise AssertionError(f"200 ports of {address} are in use.")
