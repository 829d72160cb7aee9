"""Outbound HTTP: `send` sends one request to one checked address. See docs/adr/0007.

A connection serves one request and is closed, unless its caller says for whom it may be kept.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import httpcore
import httpx

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.transport.bodies import read_body
from integrations.transport.egress import EgressPolicy
from integrations.transport.idle_connections import OpenConnection, idle_connections
from integrations.transport.network import Deadline, Network, PinnedBackend, SystemNetwork, UnusableAnswer
from integrations.transport.pinning import checked_addresses
from integrations.transport.urls import Target
from threada_site.kernel.templates import is_header_value

type Headers = tuple[tuple[str, str], ...]

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
FRAMING_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"}
)
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_SYSTEM: Final = SystemNetwork()
_KEEP_ALIVE_TIMEOUT: Final = re.compile(r"(?i)timeout\s*=\s*(\d{1,6})")


@dataclass(frozen=True, slots=True)
class StreamedBody:
    """Body that is read while it is sent: exactly `size` bytes in blocks."""

    size: int
    blocks: Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """One request, sent byte for byte. Only `Host` and `Content-Length` are added.

    All fields except the method may contain secrets and are excluded from the repr.
    """

    method: str
    url: str = field(repr=False)
    headers: Headers = field(default=(), repr=False)
    body: bytes | StreamedBody = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"The method {self.method[:20]!r} is not sent.")
        for name, value in self.headers:
            if not is_header_name(name) or name.lower() in FRAMING_HEADERS:
                raise ValueError(f"The header name {name[:60]!r} is not sent.")
            if not is_header_value(value):
                raise ValueError(f"The header {name} has a value that no header can hold.")


@dataclass(frozen=True, slots=True)
class OutboundAnswer:
    """A response. Header names are lower-case; the body is decompressed and complete."""

    status: int
    headers: Headers
    body: bytes
    elapsed_ms: float

    def header(self, name: str) -> str | None:
        """Return the first header with that name (lower-case), or None."""
        return next((value for key, value in self.headers if key == name), None)


def is_header_name(name: str) -> bool:
    """Return True if `name` is an RFC 9110 token."""
    return bool(name) and _TOKEN.issuperset(name)


def send(
    request: OutboundRequest,
    *,
    egress: EgressPolicy,
    timeout_s: float,
    max_body_bytes: int,
    network: Network = _SYSTEM,
    tls: ssl.SSLContext | None = None,
    kept_for: str = "",
) -> OutboundAnswer:
    """Send `request` and read the whole response, whatever its status, within `timeout_s` from now.

    All addresses of the host are checked before one of them is dialled, and the connection uses that address. Follows
    no redirect, uses no proxy, cookie or credential from the environment, and never retries.

    `kept_for` names the owner of the connection. If it is given, the connection is kept for a second and used for the
    next request of the same owner to the same checked address.

    Raises only `TransportFailure`: `blocked_address`; `connection_refused` (unknown host, no listener, TLS failure:
    nothing was sent); `timeout`; `bad_response` (connection lost, not HTTP, too large, undecodable).
    """
    started = time.monotonic()
    deadline = Deadline(timeout_s)
    target = egress.check_url(request.url)
    addresses = checked_addresses(target, egress, network, deadline)
    tls = tls or verifying_context()
    key = (kept_for, target.scheme, target.host, target.port, tls, _identity(network))
    opened = idle_connections.take(key, addresses) if kept_for else None
    if opened is not None:
        opened.backend.renew(deadline)
        answer = _exchange(opened, request, target, started=started, timeout_s=timeout_s, max_body_bytes=max_body_bytes)
        if answer is not None:
            return answer
    backend = PinnedBackend(addresses, network=network, deadline=deadline)
    origin = httpcore.Origin(target.scheme.encode(), target.host.encode(), target.port)
    connection = httpcore.HTTPConnection(origin, ssl_context=tls, network_backend=backend)
    opened = OpenConnection(connection, backend, key if kept_for else None)
    answer = _exchange(opened, request, target, started=started, timeout_s=timeout_s, max_body_bytes=max_body_bytes)
    if answer is None:
        raise TypeError("A new connection was not used.")
    return answer


def _exchange(
    opened: OpenConnection,
    request: OutboundRequest,
    target: Target,
    *,
    started: float,
    timeout_s: float,
    max_body_bytes: int,
) -> OutboundAnswer | None:
    """Send and read on a connection, and keep or close it. Raises `TransportFailure`.

    Return None if the receiver had closed a connection that was used before, and nothing was sent.
    """
    backend = opened.backend
    status: int | None = None
    is_kept = False
    try:
        answer = opened.connection.handle_request(_as_httpcore(request, target))
        if opened.is_reused and not backend.sent:
            return None
        status = answer.status
        backend.head_is_complete()
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in answer.headers)
        encoding = ",".join(value for name, value in headers if name == "content-encoding")
        body = read_body(answer.iter_stream(), encoding=encoding, max_bytes=max_body_bytes)
        answer.close()
        is_kept = opened.key is not None and opened.is_complete() and not _closes_soon(headers)
        return OutboundAnswer(status, headers, body, round((time.monotonic() - started) * 1000, 3))
    except (httpcore.TimeoutException, TimeoutError) as error:
        detail = f"No complete answer within {timeout_s:g} s."
        raise TransportFailure(FailureClass.TIMEOUT, detail, ambiguous=backend.sent, status=status) from error
    except (httpcore.NetworkError, httpcore.ProtocolError, UnusableAnswer) as error:
        if opened.is_reused and not backend.sent:
            return None
        if not backend.sent:
            detail = f"No connection to {target.authority}: {error}"
            raise TransportFailure(FailureClass.CONNECTION_REFUSED, detail) from error
        detail = str(error) if isinstance(error, UnusableAnswer) else "The answer broke off or is no HTTP."
        raise TransportFailure(FailureClass.BAD_RESPONSE, detail, ambiguous=True, status=status) from error
    finally:
        if is_kept:
            idle_connections.put(opened)
        else:
            opened.close()


def _identity(network: Network) -> object:
    """Return what distinguishes networks: the system's has no state."""
    return SystemNetwork if type(network) is SystemNetwork else network


def _closes_soon(headers: Headers) -> bool:
    """Return True if the receiver announces that it closes idle connections in less than two seconds."""
    said = ",".join(value for name, value in headers if name == "keep-alive")
    found = _KEEP_ALIVE_TIMEOUT.search(said)
    return found is not None and int(found[1]) < 2


def reach(url: str, *, egress: EgressPolicy, timeout_s: float, network: Network = _SYSTEM) -> str:
    """Open and close one connection to the host of `url` without sending anything. Return the authority of `url`.

    Raises `TransportFailure`: `blocked_address`, `connection_refused`, `timeout`.
    """
    deadline = Deadline(timeout_s)
    target = egress.check_url(url)
    backend = PinnedBackend(checked_addresses(target, egress, network, deadline), network=network, deadline=deadline)
    try:
        stream = backend.connect_tcp(target.host, target.port)
    except httpcore.TimeoutException as error:
        raise TransportFailure(FailureClass.TIMEOUT, f"No connection within {timeout_s:g} s.") from error
    except (httpcore.NetworkError, TimeoutError) as error:
        detail = f"No connection to {target.authority}: {error}"
        raise TransportFailure(FailureClass.CONNECTION_REFUSED, detail) from error
    stream.close()
    return target.authority


@lru_cache(maxsize=8)
def verifying_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Return a TLS context that trusts the public authorities shipped with httpx, and those in `ca_file` (PEM)."""
    context = httpx.create_ssl_context(trust_env=False)
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def _as_httpcore(request: OutboundRequest, target: Target) -> httpcore.Request:
    headers = [("Host", target.authority), *request.headers]
    body = request.body
    size = body.size if isinstance(body, StreamedBody) else len(body)
    if size or request.method in ("POST", "PUT", "PATCH"):
        headers.append(("Content-Length", str(size)))
    return httpcore.Request(
        request.method,
        httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path),
        headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers],
        content=body.blocks() if isinstance(body, StreamedBody) else body,
    )
