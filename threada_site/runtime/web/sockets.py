"""Connections of this process as the kernel reports them.

The server accepts connections and reads request heads outside Python, so connections without a request are visible in
the table of open files only.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from threada_site.runtime.web.addresses import host_of

_OPEN_FILES: Final = "/proc/self/fd"
_TCP_INFO_SIZE: Final = 192
_BYTES_ACKED: Final = 120
"""Offset of `tcpi_bytes_acked` in `struct tcp_info` (linux/tcp.h)."""


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """A connection. `peer`: `address:port`. `unsent`: bytes the peer has not acknowledged. `acknowledged`: in total."""

    number: int
    peer: str
    unsent: int
    acknowledged: int

    @property
    def address(self) -> str:
        return host_of(self.peer)


def open_files() -> tuple[list[int], set[str]]:
    """Return the descriptors of sockets, and the paths of all other open files."""
    sockets, paths = [], set()
    for name in os.listdir(_OPEN_FILES):  # noqa: PTH208  (called once a second with thousands of entries)
        try:
            target = os.readlink(f"{_OPEN_FILES}/{name}")  # noqa: PTH115
        except OSError:
            continue
        if target.startswith("socket:"):
            sockets.append(int(name))
        else:
            paths.add(target.removesuffix(" (deleted)"))
    return sockets, paths


def connections(numbers: list[int], *, port: int) -> Iterator[OpenSocket]:
    """Yield the connections to `port` among these descriptors."""
    for number in numbers:
        with _borrowed(number) as borrowed:
            found = borrowed and _described(number, borrowed, port)
            if found:
                yield found


def cut(connection: OpenSocket, *, port: int) -> bool:
    """Shut a connection down in both directions. Return False if the descriptor belongs to something else by now."""
    with _borrowed(connection.number) as borrowed:
        if borrowed is None:
            return False
        found = _described(connection.number, borrowed, port)
        if found is None or found.peer != connection.peer:
            return False
        with suppress(OSError):
            borrowed.shutdown(socket.SHUT_RDWR)
        return True


@contextmanager
def _borrowed(number: int) -> Iterator[socket.socket | None]:
    """Yield a duplicate of a descriptor: the number may be closed and given to another file at any time."""
    try:
        duplicate = socket.socket(fileno=os.dup(number))
    except OSError:
        yield None
        return
    try:
        yield duplicate
    finally:
        duplicate.close()


def _described(number: int, opened: socket.socket, port: int) -> OpenSocket | None:
    try:
        if opened.family not in (socket.AF_INET, socket.AF_INET6) or opened.getsockname()[1] != port:
            return None
        peer = opened.getpeername()
        info = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
        (unsent,) = struct.unpack("i", fcntl.ioctl(opened, termios.TIOCOUTQ, b"\0\0\0\0"))
    except OSError:
        return None
    acknowledged = struct.unpack_from("Q", info, _BYTES_ACKED)[0] if len(info) >= _BYTES_ACKED + 8 else 0
    address = f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"
    return OpenSocket(number, address, unsent, acknowledged)
