"""Slow clients: many connections, from several loopback addresses, that never complete what they begin."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

FIRST_ADDRESS: Final = 11
ADDRESSES: Final = 40
RECEIVE_BUFFER: Final = 2_048


def silence(_path: str) -> bytes:
    """Send four bytes of a request and nothing else."""
    return b"POST"


def slow_head(path: str) -> bytes:
    """Send a head without its end."""
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()


def slow_body(path: str, *, token: str = "") -> bytes:
    """Send a head and four bytes of the body that it announces."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Content-Length: 900"]
    lines += [f"Authorization: Bearer {token}"] if token else []
    return "\r\n".join(lines).encode() + b"\r\n\r\n{   "


def slow_form(path: str) -> bytes:
    """Send the begin of a form, as a browser would send it."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    return f"{head}Cookie: threada_csrf={'a' * 32}\r\nContent-Length: 900\r\n\r\nuser".encode()


def slow_chunks(path: str) -> bytes:
    """Send a head, one chunk and no further one."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + b"4\r\n{   \r\n"


def reader(path: str) -> bytes:
    """Send a complete request. Its client reads nothing of the response."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


@contextmanager
def attack(port: int, beginnings: Sequence[bytes], *, count: int, drips: bool = False) -> Iterator[list[socket.socket]]:
    """Hold `count` connections that have sent one of `beginnings` in turn, each opened again once it is closed.

    `drips`: send one more byte to each connection every two seconds.
    """
    opened = [_connected(port, number, beginnings) for number in range(count)]
    stop = threading.Event()

    def keep_open() -> None:
        while not stop.wait(2.0 if drips else 0.5):
            for number, connection in enumerate(opened):
                if stop.is_set():
                    return
                if not _is_open(connection, drips=drips):
                    connection.close()
                    with contextlib.suppress(OSError):
                        opened[number] = _connected(port, number, beginnings)

    thread = threading.Thread(target=keep_open)
    thread.start()
    try:
        yield opened
    finally:
        stop.set()
        thread.join()
        for connection in opened:
            connection.close()


def _connected(port: int, number: int, beginnings: Sequence[bytes]) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    connection.settimeout(10)
    connection.bind((f"127.0.0.{FIRST_ADDRESS + number % ADDRESSES}", 0))
    with contextlib.suppress(OSError):
        connection.connect(("127.0.0.1", port))
        connection.sendall(beginnings[number % len(beginnings)])
        connection.setblocking(False)
    return connection


def _is_open(connection: socket.socket, *, drips: bool) -> bool:
    """Return False if the server has closed the connection. Read nothing of a response."""
    try:
        if drips:
            connection.send(b" ")
        return connection.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
