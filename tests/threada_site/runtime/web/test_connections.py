"""Supervision of real connections of this process: limits per address and in total, and slow readers."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from threada_site.runtime.web.addresses import Addresses
from threada_site.runtime.web.connections import Connections
from threada_site.runtime.web.limits import Limits
from threada_site.runtime.web.listening import listening_socket, raise_open_files_limit
from threada_site.runtime.web.sockets import connections, open_files


class Peers:
    """A listening socket, its clients from loopback addresses, and the accepted ends."""

    def __init__(self) -> None:
        self.listener = listening_socket("127.0.0.1", 0, Limits(send_s=6))
        self.listener.setblocking(True)
        self.port = self.listener.getsockname()[1]
        self.clients: list[socket.socket] = []
        self.accepted: list[socket.socket] = []

    def connect(self, number: int, *, receive_buffer: int = 0) -> str:
        """Connect from 127.0.0.<number>. Return the peer's name."""
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.bind((f"127.0.0.{number}", 0))
        client.connect(("127.0.0.1", self.port))
        self.clients.append(client)
        self.accepted.append(self.listener.accept()[0])
        host, port = client.getsockname()
        return f"{host}:{port}"

    def open(self) -> list[bool]:
        """Return for each client whether its connection is open."""
        return [_is_open(client) for client in self.clients]

    def supervised(self, **limits: Any) -> Connections:
        set_to = Limits(**limits)
        return Connections(self.port, set_to, Addresses(set_to))

    def close(self) -> None:
        for each in (self.listener, *self.clients, *self.accepted):
            each.close()


@pytest.fixture
def peers() -> Iterator[Peers]:
    made = Peers()
    yield made
    made.close()


def _is_open(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def fill(connection: socket.socket) -> None:
    """Send until the peer's window and the own buffer are full."""
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            connection.send(b"a" * 65_536)


def test_connections_of_this_process_are_found(peers: Peers) -> None:
    peer = peers.connect(9)
    numbers, _ = open_files()
    found = list(connections(numbers, port=peers.port))
    assert [(each.peer, each.address, each.unsent) for each in found] == [(peer, "127.0.0.9", 0)]
    assert list(connections(numbers, port=peers.port + 1)) == []


def test_accepted_connections_inherit_the_time_limit_for_acknowledgements(peers: Peers) -> None:
    peers.connect(9)
    assert peers.accepted[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 6_000


def test_address_with_too_many_connections_loses_its_oldest_idle_ones(peers: Peers) -> None:
    supervised = peers.supervised(connections_per_address=2)
    busy = peers.connect(9)
    supervised.begin(busy)
    for number in (9, 9, 10, 9):
        peers.connect(number)
    supervised.look()
    assert peers.open() == [True, False, False, True, True]
    assert supervised.is_suspect("127.0.0.9")
    assert not supervised.is_suspect("127.0.0.10")


def test_trusted_proxy_is_not_limited(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADA_TRUSTED_PROXIES", "127.0.0.9")
    supervised = peers.supervised(connections_per_address=1, proxies=Limits.from_environment().proxies)
    for number in (9, 9, 9, 10, 10):
        peers.connect(number)
    supervised.look()
    assert peers.open()[:3] == [True] * 3
    assert peers.open()[3:].count(True) == 1


def test_beyond_the_total_the_largest_address_loses_first(peers: Peers) -> None:
    supervised = peers.supervised(connections=4)
    for number in (9, 9, 9, 9, 10, 11):
        peers.connect(number)
    supervised.look()
    assert peers.open().count(True) == 4
    assert peers.open()[4:] == [True, True]
    assert not supervised.is_suspect("127.0.0.9")


def test_reader_that_reads_nothing_is_cut_off(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("threada_site.runtime.web.connections.time.monotonic", lambda: clock[0])
    supervised = peers.supervised(send_s=10)
    peers.connect(9, receive_buffer=2_048)
    peers.connect(10)
    fill(peers.accepted[0])
    for clock[0] in (100.0, 105.0, 109.0):
        supervised.look()
    assert supervised._known[f"127.0.0.9:{peers.clients[0].getsockname()[1]}"].socket.unsent > 0
    clock[0] = 111.0
    supervised.look()
    assert supervised.is_suspect("127.0.0.9")
    supervised.look()
    peers.accepted[0].setblocking(True)
    with pytest.raises(OSError, match=r"."):
        peers.accepted[0].sendall(b"a")
    assert peers.open()[1]


def test_reader_that_keeps_up_is_not_cut_off(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("threada_site.runtime.web.connections.time.monotonic", lambda: clock[0])
    supervised = peers.supervised(send_s=10, bytes_per_second=1_000)
    peers.connect(9, receive_buffer=2_048)
    for clock[0] in (100.0, 111.0, 122.0, 133.0):
        fill(peers.accepted[0])
        supervised.look()
        peers.clients[0].setblocking(True)
        for _ in range(40):
            peers.clients[0].recv(4_096)
    assert not supervised.is_suspect("127.0.0.9")


def test_unread_responses_beyond_the_limit_are_given_up_oldest_first(peers: Peers) -> None:
    supervised = peers.supervised(held_response_bytes=1_000_000)
    names = [peers.connect(number, receive_buffer=2_048) for number in (9, 10, 11)]
    for name, connection in zip(names, peers.accepted, strict=True):
        supervised.begin(name)
        fill(connection)
        supervised._looked_at = 0.0
        supervised.end(name, size=400_000)
    assert supervised.is_suspect("127.0.0.9")
    assert not supervised.is_suspect("127.0.0.10")
    assert supervised._held == 800_000


def test_responses_that_were_sent_are_not_counted(peers: Peers) -> None:
    supervised = peers.supervised(held_response_bytes=1_000)
    name = peers.connect(9)
    for _ in range(5):
        supervised.begin(name)
        supervised.end(name, size=900)
    assert supervised._held == 900
    assert peers.open() == [True]


def test_connection_may_send_a_limited_number_of_requests(peers: Peers) -> None:
    supervised = peers.supervised(requests_per_connection=3)
    name = peers.connect(9)
    ended = []
    for _ in range(3):
        ended.append(supervised.begin(name))
        supervised.end(name)
    assert ended == [False, False, True]
    peers.accepted[0].close()
    supervised.look()
    assert supervised.begin(name) is False


def test_stopping_closes_connections_without_a_request(peers: Peers) -> None:
    supervised = peers.supervised()
    busy, _ = peers.connect(9), peers.connect(10)
    supervised.begin(busy)
    supervised.close_idle()
    assert peers.open() == [True, False]


def test_incomplete_response_ends_its_connection(peers: Peers) -> None:
    supervised = peers.supervised()
    first, _ = peers.connect(9), peers.connect(10)
    supervised.cut(first)
    supervised.cut("127.0.0.99:1")
    assert peers.open() == [False, True]


def test_limit_of_connections_fits_the_files_that_may_be_open() -> None:
    assert raise_open_files_limit(Limits(connections=100)) == 100
