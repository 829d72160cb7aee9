"""Connections that are kept between calls: who may use them, and when they are not used."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from integrations.transport import (
    EgressPolicy,
    FailureClass,
    OutboundRequest,
    TransportFailure,
    send,
    verifying_context,
)
from integrations.transport.idle_connections import idle_connections
from integrations.transport.network import PinnedBackend
from tests.integrations.recorders import RecordingNetwork
from tests.receivers.fixtures import TLS_AUTHORITY, Receiver

LOOPBACK = EgressPolicy(["127.0.0.0/8"])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    yield
    idle_connections.close_idle(since_s=0)


def call(url: str, network: RecordingNetwork, *, owner: str = "ada", timeout_s: float = 5.0, **options: object) -> int:
    request = OutboundRequest("POST", url, body=b"{}")
    terms = {"egress": LOOPBACK, "timeout_s": timeout_s, "max_body_bytes": 1000, "kept_for": owner, **options}
    return send(request, network=network, **terms).status  # type: ignore[arg-type]


def test_only_the_owner_uses_a_kept_connection_to_a_checked_address(receiver: Receiver) -> None:
    network = RecordingNetwork({"bank.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}, dials=True)
    url = f"http://bank.example:{receiver.port}/"

    def dials(**options: object) -> int:
        before = len(network.dialled)
        assert call(options.pop("url", url), network, **options) == 200  # type: ignore[arg-type]
        return len(network.dialled) - before

    assert [dials(), dials(), dials()] == [1, 0, 0]
    assert dials(owner="bea") == 1
    assert dials(url=f"http://other.example:{receiver.port}/") == 1
    assert [dials(owner=""), dials(owner="")] == [1, 1]
    with pytest.raises(TransportFailure) as refused:
        call(url, network, egress=EgressPolicy())
    assert refused.value.failure is FailureClass.BLOCKED_ADDRESS
    network.names["bank.example"] = ["127.0.0.2"]
    with pytest.raises(TransportFailure) as refused:
        call(url, network)  # nothing listens there, and the connection to the other address is not used
    assert refused.value.failure is FailureClass.CONNECTION_REFUSED
    network.names["bank.example"] = ["127.0.0.1"]
    assert dials() == 0
    receiver.behave(headers={"Keep-Alive": "timeout=1, max=100"})
    assert [dials(), dials()] == [0, 1]
    receiver.behave(headers={"Connection": "close"})
    assert [dials(owner="cyd"), dials(owner="cyd")] == [1, 1]


def test_each_call_has_its_own_deadline(receiver: Receiver) -> None:
    network = RecordingNetwork(dials=True)
    assert call(receiver.url, network, timeout_s=0.5) == 200
    receiver.behave(delay_s=0.7)
    assert call(receiver.url, network, timeout_s=5) == 200
    with pytest.raises(TransportFailure) as late:
        call(receiver.url, network, timeout_s=0.3)
    assert (late.value.failure, late.value.ambiguous) == (FailureClass.TIMEOUT, True)
    receiver.behave()
    assert call(receiver.url, network) == 200
    assert len(network.dialled) == 2  # the one that timed out was not kept


def test_tls_settings_are_not_shared(tls_receiver: Receiver) -> None:
    network = RecordingNetwork({"receiver.test": ["127.0.0.1"]}, dials=True)
    url, trusted = f"https://receiver.test:{tls_receiver.port}/", verifying_context(str(TLS_AUTHORITY))
    assert call(url, network, tls=trusted) == call(url, network, tls=trusted) == 200
    assert len(network.dialled) == 1
    with pytest.raises(TransportFailure) as refused:
        call(url, network)
    assert "certificate verify failed" in refused.value.detail


def _closes(accepted: socket.socket) -> None:
    accepted.sendall(OK)


def _resets(accepted: socket.socket) -> None:
    accepted.sendall(OK)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _answers_twice(accepted: socket.socket) -> None:
    accepted.sendall(OK + OK.replace(b"200", b"299"))


@pytest.mark.parametrize(
    ("ends", "is_seen"), [(_closes, True), (_resets, True), (_resets, False), (_answers_twice, True)]
)
def test_stale_connection_makes_no_call_ambiguous(
    ends: Callable[[socket.socket], None], is_seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`is_seen` False: the receiver closes the connection between the check and the request."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2):
                accepted, _ = listener.accept()
                accepted.recv(65536)
                ends(accepted)
                if ends is _answers_twice:
                    ended.set()
                    accepted.recv(65536)
                accepted.close()
                ended.set()

        threading.Thread(target=serve, daemon=True).start()
        url, network = f"http://127.0.0.1:{listener.getsockname()[1]}/", RecordingNetwork(dials=True)
        assert call(url, network) == 200
        assert ended.wait(5)
        if not is_seen:
            monkeypatch.setattr(PinnedBackend, "is_readable", lambda _self: False)
        assert call(url, network) == 200
        assert len(network.dialled) == 2
