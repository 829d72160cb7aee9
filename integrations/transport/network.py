"""Sockets with a deadline: name resolution, connection, and the stream used by httpcore."""

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
    """A response that is too large or cannot be decoded. The message says which."""


class Deadline:
    """Monotonic time by which a whole call must end."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the remaining seconds, above zero. Raises `TimeoutError` if there are none."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("The deadline has passed.")
        return left


class Network(Protocol):
    """The machine's network. Tests replace it with a recorder, so that no packet leaves the machine."""

    def resolve(self, host: str, port: int, deadline: Deadline) -> list[str]:
        """Return the addresses of `host`, in the order to try them.

        Raises `OSError` if there is none, `TimeoutError`.
        """
        ...

    def dial(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """Return a connected TCP socket. `address` is an IP address. Raises `OSError`, `TimeoutError`."""
        ...


class SystemNetwork:
    """Resolver and sockets of the operating system."""

    def resolve(self, host: str, port: int, deadline: Deadline) -> list[str]:
        """Return the addresses of `host`, see `Network.resolve`. A literal address resolves to itself.

        The system resolver has no deadline, so it runs in a thread that is abandoned after a timeout.
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
    """A socket whose reads and writes end by the call's deadline, even if the peer sends byte by byte.

    `sent` becomes True before the first byte of the request is written: from then on the receiver may have acted.
    `reading_head` is True until the response header is complete. A header above `MAX_HEAD_BYTES` is refused.
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
    """Dials only the checked addresses, whatever name is requested. TLS still verifies the name."""

    def __init__(self, addresses: Sequence[str], *, network: Network, deadline: Deadline) -> None:
        self._addresses = tuple(addresses)
        self._network = network
        self._deadline = deadline
        self._stream: DeadlineStream | None = None

    @property
    def sent(self) -> bool:
        """Return True if any byte of the request may have been sent."""
        return self._stream is not None and self._stream.sent

    def head_is_complete(self) -> None:
        """Tell the stream that the response header is complete."""
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
        """Connect to the first address that answers. Each address may use its share of the remaining time."""
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
