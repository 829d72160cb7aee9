"""Sockets with a deadline: name resolution, connection, and the stream used by httpcore."""

from __future__ import annotations

import contextlib
import ipaddress
import queue
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

import httpcore

MAX_HEAD_BYTES: Final = 64 * 1024
_REFUSED_CERTIFICATE: Final = re.compile(
    r"ALERT_(?:CERTIFICATE_\w+|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)"
)
"""Reasons of OpenSSL for alerts about the client's certificate or its absence."""


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

    `sent` becomes True before the first byte of the request is written: from then on the receiver may have acted. It
    becomes False again if the system refused that byte, which only a socket without TLS tells, or if the receiver
    refused the client's certificate: in TLS 1.3 its alert comes after the request, of which it has decrypted nothing.
    `reading_head` is True until the response header is complete. A header above `MAX_HEAD_BYTES` is refused.
    """

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket = connected
        self._deadline = deadline
        self._received = 0
        self._tls_version: str | None = None
        self._is_answered = False
        self.sent = False
        self.reading_head = True

    def renew(self, deadline: Deadline) -> None:
        """Begin another call on the same socket."""
        self._deadline = deadline
        self._received = 0
        self.sent = False
        self.reading_head = True

    def is_readable(self) -> bool:
        """Return True if the peer has sent something or closed the connection."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        waiting = select.poll()
        try:
            waiting.register(self._socket, select.POLLIN)
        except ValueError:
            return True
        return bool(waiting.poll(0))

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self.reading_head and self._received >= MAX_HEAD_BYTES:
            raise UnusableAnswer(f"The answer's head is larger than {MAX_HEAD_BYTES} bytes.")
        try:
            self._socket.settimeout(self._deadline.remaining())
            received = self._socket.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            if not self._is_answered and self._refuses_certificate(error):
                self.sent = False
            raise httpcore.ReadError(str(error)) from error
        self._received += len(received)
        self._is_answered = True
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)
        is_first = not self.sent
        try:
            while view:
                self._socket.settimeout(self._deadline.remaining())
                self.sent = True
                view = view[self._socket.send(view) :]
                is_first = False
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            if is_first and not isinstance(self._socket, ssl.SSLSocket):
                self.sent = False
            raise httpcore.WriteError(str(error)) from error

    def _refuses_certificate(self, error: OSError) -> bool:
        """Return True if the receiver ended the handshake of TLS 1.3 because of the client's certificate."""
        if self._tls_version != "TLSv1.3" or not isinstance(error, ssl.SSLError):
            return False
        return _REFUSED_CERTIFICATE.search(error.reason or "") is not None

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            self._socket.settimeout(self._deadline.remaining())
            wrapped = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
            self._socket, self._tls_version = wrapped, wrapped.version()
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
    """Dials only the checked addresses, whatever name is requested. TLS still verifies the name.

    `address` is the one that was dialled.
    """

    def __init__(self, addresses: Sequence[str], *, network: Network, deadline: Deadline) -> None:
        self._addresses = tuple(addresses)
        self._network = network
        self._deadline = deadline
        self._stream: DeadlineStream | None = None
        self.address = ""

    def renew(self, deadline: Deadline) -> None:
        """Begin another call on the connection."""
        self._deadline = deadline
        if self._stream is not None:
            self._stream.renew(deadline)

    def is_readable(self) -> bool:
        """Return True if the idle connection was closed by the receiver, or has data that nobody asked for."""
        return self._stream is None or self._stream.is_readable()

    def close(self) -> None:
        """Close the socket, if there is one."""
        if self._stream is not None:
            self._stream.close()

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
            self.address = address
            return self._stream
        if isinstance(refusal, TimeoutError):
            raise httpcore.ConnectTimeout(str(refusal)) from refusal
        raise httpcore.ConnectError(str(refusal)) from refusal
