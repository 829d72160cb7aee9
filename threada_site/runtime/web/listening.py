"""The listening socket of all web processes."""

from __future__ import annotations

import resource
import socket

from threada_site.runtime.web.limits import Limits

BACKLOG = 2_048


def listening_socket(host: str, port: int, limits: Limits) -> socket.socket:
    """Return a listening socket whose connections end after `send_s` seconds without an acknowledgement.

    Accepted connections inherit the option. Without it a client that reads nothing keeps its connection for minutes.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limits.send_s * 1000)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def raise_open_files_limit(limits: Limits) -> int:
    """Raise the limit of open files as far as allowed and needed. Return the connections that fit."""
    needed = 2 * limits.connections + 1_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(limits.connections, max((soft - 500) // 2, 16))
