"""The outbound transport with a real receiver in a separate process."""

from __future__ import annotations

import socket
import threading
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from integrations.transport import (
    EgressPolicy,
    FailureClass,
    OutboundAnswer,
    OutboundRequest,
    TransportFailure,
    send,
    verifying_context,
)
from tests.integrations.recorders import RecordingNetwork
from tests.receivers.fixtures import TLS_AUTHORITY, Receiver

LOOPBACK = EgressPolicy(["127.0.0.0/8"])
SIZES: dict[str, Any] = {"gzip_bomb": {"size": 2**26}}  # 64 MB, which compress to less than the cap


def call(
    url: str, *, method: str = "POST", timeout_s: float = 5.0, body: bytes = b"{}", **options: Any
) -> OutboundAnswer:
    request = OutboundRequest(method, url, headers=(("X-Trace", "7"),), body=body)
    return send(request, egress=LOOPBACK, timeout_s=timeout_s, max_body_bytes=options.pop("cap", 100_000), **options)


def failure_of(url: str, **options: Any) -> TransportFailure:
    with pytest.raises(TransportFailure) as caught:
        call(url, **options)
    return caught.value


def test_sends_exactly_what_it_was_given(receiver: Receiver) -> None:
    receiver.behave(status=201, body={"id": "p-1"}, headers={"X-Answer": "yes", "Set-Cookie": "a=b"})
    answer = call(f"{receiver.url}/payments/a%2Fb/../c?x=%20y", body=b'{"amount":5}')
    assert (answer.status, answer.body, answer.header("x-answer")) == (201, b'{"id": "p-1"}', "yes")
    assert 0 < answer.elapsed_ms < 5000
    (entry,) = receiver.requests()
    assert (entry["method"], entry["path"], entry["body"]) == ("POST", "/payments/a%2Fb/../c?x=%20y", '{"amount":5}')
    assert entry["headers"] == {"host": f"127.0.0.1:{receiver.port}", "x-trace": "7", "content-length": "12"}


def test_every_method_is_carried(receiver: Receiver) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        assert call(receiver.url, method=method, body=b"").status == 200
    assert [entry["method"] for entry in receiver.requests()] == ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


@pytest.mark.parametrize("status", [204, 301, 302, 307, 400, 404, 429, 500, 503])
def test_every_status_is_an_answer_and_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    receiver.behave(
        {"/stolen": {"status": 200}}, status=status, headers={"Location": f"{receiver.url}/stolen"}, body=""
    )
    assert call(f"{receiver.url}/x").status == status
    assert [entry["path"] for entry in receiver.requests()] == ["/x"]


def test_environment_proxies_and_cookies_are_ignored(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    receiver.behave(headers={"Set-Cookie": "session=1"})
    assert call(receiver.url).status == call(receiver.url).status == 200
    assert "cookie" not in receiver.requests()[1]["headers"]


def test_loopback_is_refused_unless_listed(receiver: Receiver) -> None:
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(TransportFailure) as refusal:
            send(
                OutboundRequest("GET", f"http://{host}:{receiver.port}/"),
                egress=EgressPolicy(),
                timeout_s=2,
                max_body_bytes=100,
            )
        assert refusal.value.failure is FailureClass.BLOCKED_ADDRESS
    assert receiver.requests() == []


def test_checked_address_is_dialled_and_the_name_is_sent(receiver: Receiver) -> None:
    network = RecordingNetwork({"bank.example": ["127.0.0.1"]}, dials=True)
    assert call(f"http://bank.example:{receiver.port}/", network=network).status == 200
    assert network.dialled == [("127.0.0.1", receiver.port)]
    assert receiver.requests()[0]["headers"]["host"] == f"bank.example:{receiver.port}"


def test_next_address_is_tried_when_one_refuses(receiver: Receiver) -> None:
    class OneDead(RecordingNetwork):
        def dial(self, address: str, port: int, timeout_s: float) -> socket.socket:
            if address == "127.0.0.2":
                self.dialled.append((address, port))
                raise TimeoutError("no answer")
            return super().dial(address, port, timeout_s)

    network = OneDead({"bank.example": ["127.0.0.2", "127.0.0.1"]}, dials=True)
    assert call(f"http://bank.example:{receiver.port}/", network=network).status == 200
    assert len(receiver.requests()) == 1
    assert [address for address, _ in network.dialled] == ["127.0.0.2", "127.0.0.1"]


def test_nobody_listening_is_unambiguous(receiver: Receiver) -> None:
    receiver.stop()
    failure = failure_of(receiver.url)
    assert (failure.failure, failure.ambiguous) == (FailureClass.CONNECTION_REFUSED, False)


def test_unknown_name_is_unambiguous() -> None:
    class Nameless(RecordingNetwork):
        def resolve(self, host: str, port: int, deadline: object) -> list[str]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    failure = failure_of("http://nowhere.example/", network=Nameless())
    assert (failure.failure, failure.ambiguous) == (FailureClass.CONNECTION_REFUSED, False)


def test_hanging_resolver_keeps_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait() and [])
    try:
        failure = failure_of("http://slow.example/", timeout_s=0.2)  # returns while the resolver hangs
    finally:
        released.set()
    assert (failure.failure, failure.ambiguous) == (FailureClass.TIMEOUT, False)


def test_connect_that_never_answers_is_an_unambiguous_timeout() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filler = [socket.socket() for _ in range(4)]
        for full in filler:
            full.setblocking(False)
            full.connect_ex(listener.getsockname())
        failure = failure_of(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout_s=0.3)
        for full in filler:
            full.close()
    assert failure.failure is FailureClass.TIMEOUT


@pytest.mark.parametrize("fault", ["drip", "drip_head"])
def test_dripping_answer_ends_at_the_deadline(receiver: Receiver, fault: str) -> None:
    receiver.behave(fault=fault, drip_s=0.02)
    started = time.monotonic()
    failure = failure_of(receiver.url, timeout_s=0.5)
    assert time.monotonic() - started > 0.4
    assert (failure.failure, failure.ambiguous) == (FailureClass.TIMEOUT, True)
    assert failure.status == (200 if fault == "drip" else None)


def test_late_answer_is_an_ambiguous_timeout(receiver: Receiver) -> None:
    receiver.behave(delay_s=1.0)
    failure = failure_of(receiver.url, timeout_s=0.3)
    assert (failure.failure, failure.ambiguous) == (FailureClass.TIMEOUT, True)
    assert len(receiver.requests()) == 1


def test_receiver_that_does_not_read_keeps_the_deadline() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        failure = failure_of(url, timeout_s=0.5, body=b"x" * 32_000_000)
    assert (failure.failure, failure.ambiguous) == (FailureClass.TIMEOUT, True)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("reset", None),
        ("close", None),
        ("not_http", None),
        ("endless_head", None),
        ("endless_continue", None),
        ("switch", None),
        ("reset_mid_body", 200),
        ("short", 200),
        ("huge", 200),
        ("huge_chunked", 200),
        ("gzip_bomb", 200),
    ],
)
def test_broken_answer_is_ambiguous_and_bounded(receiver: Receiver, fault: str, status: int | None) -> None:
    large = fault == "reset_mid_body"
    receiver.behave(fault=fault, body={"filler": "x" * 90_000} if large else {"ok": True}, **SIZES.get(fault, {}))
    tracemalloc.start()
    started = time.monotonic()
    failure = failure_of(receiver.url, timeout_s=30, cap=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (failure.failure, failure.ambiguous, failure.status) == (FailureClass.BAD_RESPONSE, True, status)
    assert peak < 10_000_000
    assert time.monotonic() - started < 20


def test_unasked_encodings(receiver: Receiver) -> None:
    receiver.behave(fault="gzip", body={"packed": True})
    assert call(receiver.url).body == b'{"packed": true}'
    receiver.behave(headers={"Content-Encoding": "br"})
    assert failure_of(receiver.url).failure is FailureClass.BAD_RESPONSE
    receiver.behave(headers={"Content-Encoding": "gzip"})
    assert failure_of(receiver.url).failure is FailureClass.BAD_RESPONSE


def test_body_of_exactly_the_cap_is_read(receiver: Receiver) -> None:
    receiver.behave(body="x" * 1000)
    assert len(call(receiver.url, cap=1000).body) == 1000
    assert "larger than 999 bytes" in failure_of(receiver.url, cap=999).detail


def test_tls_is_verified_against_the_name(tls_receiver: Receiver) -> None:
    trusted = verifying_context(str(TLS_AUTHORITY))
    names = {"receiver.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]}
    network = RecordingNetwork(names, dials=True)
    good = f"https://receiver.test:{tls_receiver.port}/"
    assert call(good, tls=trusted, network=network).status == 200
    refusals = [
        failure_of(f"https://other.test:{tls_receiver.port}/", tls=trusted, network=network),
        failure_of(f"https://127.0.0.1:{tls_receiver.port}/", tls=trusted, network=network),
        failure_of(good, network=network),
    ]
    for refusal in refusals:
        assert (refusal.failure, refusal.ambiguous) == (FailureClass.CONNECTION_REFUSED, False)
        assert "certificate verify failed" in refusal.detail
    assert len(tls_receiver.requests()) == 1


def test_tls_handshake_that_hangs_is_an_unambiguous_timeout() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        failure = failure_of(f"https://127.0.0.1:{listener.getsockname()[1]}/", timeout_s=0.3)
    assert (failure.failure, failure.ambiguous) == (FailureClass.TIMEOUT, False)


@pytest.mark.parametrize(
    "headers",
    [
        (("X", "a\r\nY: b"),),
        (("X", "a\nb"),),
        (("X", "a\x00b"),),
        (("X", "\u20ac"),),
        (("X", " a"),),
        (("X y", "a"),),
        (("", "a"),),
        (("Host", "evil.example"),),
        (("content-length", "3"),),
        (("Transfer-Encoding", "chunked"),),
    ],
)
def test_header_that_could_split_a_request_is_refused(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ValueError, match="header"):
        OutboundRequest("GET", "http://api.example/", headers=headers)


def test_method_outside_the_list_is_refused() -> None:
    with pytest.raises(ValueError, match="CONNECT"):
        OutboundRequest("CONNECT", "http://api.example/")


def test_secrets_do_not_show_in_the_repr() -> None:
    request = OutboundRequest(
        "GET", "http://api.example/", headers=(("Authorization", "Bearer canary"),), body=b"canary"
    )
    assert "canary" not in repr(request)


def test_no_socket_is_left_open(receiver: Receiver) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    receiver.behave({"/reset": {"fault": "reset"}, "/huge": {"fault": "huge"}})
    for _ in range(5):
        call(receiver.url)
        failure_of(f"{receiver.url}/reset")
        failure_of(f"{receiver.url}/huge")
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 3  # a leak would be fifteen
