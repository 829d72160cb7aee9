"""Sockets under a deadline: resolving, dialling, and the stream that httpcore reads and writes."""

from __future__ import annotations

import contextlib
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

import httpcore

MAX_HEAD_BYTES: Final = 64 * 1024


class UnusableAnswer(Exception):
    """An answer that is too large or cannot be decoded; the message says which."""


class Deadline:
    """A point in monotonic time that everything about one call has to meet."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, above zero. Raises `TimeoutError` when there are none."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("The deadline has passed.")
        return left


class Network(Protocol):
    """The machine's network. Tests put a recorder in its place, so that nothing leaves the machine."""

    def resolve(self, host: str, port: int, deadline: Deadline) -> list[str]:
        """Every address of `host`, in the order to try them. Raises `OSError` when there is none, `TimeoutError`."""
        ...

    def dial(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """A connected TCP socket. `address` is an IP address. Raises `OSError`, `TimeoutError`."""
        ...


class SystemNetwork:
    """The operating system's resolver and sockets."""

    def resolve(self, host: str, port: int, deadline: Deadline) -> list[str]:
        """As `Network.resolve`. The system's resolver takes no deadline: it runs in a thread that may be left behind.

        A host that is an address resolves to itself.
        """
        with contextlib.suppress(ValueError):
            return [str(ipaddress.ip_address(host))]
        answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

        def ask() -> None:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                answers.put([str(entry[4][0]) for entry in found])
            except UnicodeError as error:
                answers.put(OSError(str(error)))
            except OSError as error:
                answers.put(error)

        threading.Thread(target=ask, name="resolve", daemon=True).start()
        try:
            answer = answers.get(timeout=deadline.remaining())
        except queue.Empty:
            raise TimeoutError("The resolver did not answer in time.") from None
        if isinstance(answer, OSError):
            raise answer
        return list(dict.fromkeys(answer))

    def dial(self, address: str, port: int, timeout_s: float) -> socket.socket:
        return socket.create_connection((address, port), timeout_s)


class DeadlineStream(httpcore.NetworkStream):
    """A socket whose every read and write ends by the call's deadline, whatever the other side drips.

    `sent` turns True before the first byte of the request is written: from then on the receiver may have acted.
    `reading_head` is True until the answer's head is complete; a head above `MAX_HEAD_BYTES` is refused.
    """

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket = connected
        self._deadline = deadline
        self._received = 0
        self.sent = False
        self.reading_head = True

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self.reading_head and self._received >= MAX_HEAD_BYTES:
            raise UnusableAnswer(f"The answer's head is larger than {MAX_HEAD_BYTES} bytes.")
        try:
            self._socket.settimeout(self._deadline.remaining())
            received = self._socket.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error
        self._received += len(received)
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)
        try:
            while view:
                self._socket.settimeout(self._deadline.remaining())
                self.sent = True
                view = view[self._socket.send(view) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            self._socket.settimeout(self._deadline.remaining())
            self._socket = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except TimeoutError as error:
            self.close()
            raise httpcore.ConnectTimeout(str(error)) from error
        except (OSError, ValueError) as error:
            self.close()
            raise httpcore.ConnectError(str(error)) from error
        return self

    def get_extra_info(self, info: str) -> Any:
        return None


class PinnedBackend(httpcore.NetworkBackend):
    """Dials the checked addresses and nothing else, whatever name it is asked for; TLS still verifies the name."""

    def __init__(self, addresses: Sequence[str], *, network: Network, deadline: Deadline) -> None:
        self._addresses = tuple(addresses)
        self._network = network
        self._deadline = deadline
        self._stream: DeadlineStream | None = None

    @property
    def sent(self) -> bool:
        """Whether any byte of the request may have left."""
        return self._stream is not None and self._stream.sent

    def head_is_complete(self) -> None:
        """Tell the stream that the answer's head is read and the body begins."""
        if self._stream is not None:
            self._stream.reading_head = False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """The first address that answers; each may use its share of the time that is left."""
        refusal: OSError = OSError("There is no address to call.")
        for position, address in enumerate(self._addresses):
            try:
                share_s = self._deadline.remaining() / (len(self._addresses) - position)
                connected = self._network.dial(address, port, share_s)
            except OSError as error:
                refusal = error
                continue
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._stream = DeadlineStream(connected, self._deadline)
            return self._stream
        if isinstance(refusal, TimeoutError):
            raise httpcore.ConnectTimeout(str(refusal)) from refusal
        raise httpcore.ConnectError(str(refusal)) from refusal
