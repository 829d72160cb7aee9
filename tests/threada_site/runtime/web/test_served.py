"""The whole web server over sockets, with small limits: slow clients, framing, keep-alive, stopping."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.benchmarks.servers import web_server

APPLICATION = "tests.threada_site.runtime.web.served_application:application"
LIMITS = {
    "THREADA_HEAD_SECONDS": "2",
    "THREADA_BODY_PAUSE_SECONDS": "1",
    "THREADA_SEND_SECONDS": "2",
    "THREADA_CONNECTIONS_PER_ADDRESS": "6",
    "THREADA_REQUESTS_PER_CONNECTION": "5",
    "THREADA_MAX_BODY_BYTES": "100000",
    "THREADA_MAX_DOCUMENT_BYTES": "300000",
    "THREADA_SPOOL_MB": "40",
    "THREADA_TRUSTED_PROXIES": "127.0.0.211",
}


class Web:
    """A running web server with one process."""

    def __init__(self, port: int, process: psutil.Process) -> None:
        self.port = port
        self.process = process

    def connect(self, *, number: int = 9, timeout: float = 10.0, receive_buffer: int = 0) -> socket.socket:
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(timeout)
        client.bind((f"127.0.0.{number}", 0))
        client.connect(("127.0.0.1", self.port))
        return client

    def exchange(self, *parts: bytes, pause: float = 0.0, number: int = 9) -> tuple[int, dict[str, str], bytes]:
        """Send bytes and read until the server closes. Return status 0 if there is no response."""
        with self.connect(number=number) as client:
            for part in parts:
                try:
                    client.sendall(part)
                except OSError:
                    break
                time.sleep(pause)
            return answer(client)

    def runs(self) -> int:
        """Return the number of requests that the application has run before this one."""
        return int(self.exchange(get("/"), number=200)[2].split()[3]) - 1


def answer(client: socket.socket) -> tuple[int, dict[str, str], bytes]:
    raw = b""
    try:
        while piece := client.recv(65_536):
            raw += piece
    except OSError:
        pass
    head, _, body = raw.partition(b"\r\n\r\n")
    if not head:
        return 0, {}, b""
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split()[1]), headers, body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


def post(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *lines]).encode() + b"\r\n\r\n"


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with web_server(APPLICATION, port=port, processes=1, environment=LIMITS) as process:
        yield Web(port, process)


def test_body_is_given_to_the_application(web: Web) -> None:
    status, _, body = web.exchange(post("/a", "Content-Length: 5", "Connection: close") + b"12345")
    assert (status, body.split()[:3]) == (200, [b"POST", b"/a", b"5"])
    large = b"a" * 90_000
    assert web.exchange(post("/a", "Content-Length: 90000", "Connection: close") + large)[2].split()[2] == b"90000"


def test_chunked_body_is_given_to_the_application(web: Web) -> None:
    chunks = b"5\r\n12345\r\n" * 3 + b"0\r\n\r\n"
    status, _, body = web.exchange(post("/a", "Transfer-Encoding: chunked", "Connection: close") + chunks)
    assert (status, body.split()[2]) == (200, b"15")


def test_client_that_expects_100_gets_it_when_the_body_is_wanted(web: Web) -> None:
    head = ("Expect: 100-continue", "Content-Length: 5", "Connection: close")
    with web.connect() as client:
        client.sendall(post("/a", *head))
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(b"12345")
        assert answer(client)[2].split()[2] == b"5"
    assert web.exchange(post("/refused?unread=1", *head))[0] == 200


@pytest.mark.parametrize("framing", ["Content-Length: 5000", "Content-Length: 50000", "Transfer-Encoding: chunked"])
def test_slow_body_is_timed_out_with_a_problem_and_a_closed_connection(web: Web, framing: str) -> None:
    before, began = web.runs(), time.monotonic()
    status, headers, body = web.exchange(post("/a", framing, "Threada-Correlation-Id: order-4711") + b"4\r\n1234\r\n")
    assert status == 408
    assert 0.5 < time.monotonic() - began < 8
    problem = json.loads(body)
    assert (problem["reason_code"], problem["correlation_id"]) == ("request_timeout", "order-4711")
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert web.runs() == before + 1


def test_half_head_and_silence_are_closed(web: Web) -> None:
    for begin in (b"", b"POST", b"GET / HTTP/1.1\r\nHost: x\r\n"):
        began = time.monotonic()
        assert web.exchange(begin)[0] in (0, 408)
        assert time.monotonic() - began < 8


def test_idle_connection_is_closed(web: Web) -> None:
    with web.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        began = time.monotonic()
        assert answer(client)[0] == 200
        assert time.monotonic() - began < 8


@pytest.mark.parametrize("rest", [b"5\r\n123", b"zz\r\n", b"5\r\n12345\r\n"])
def test_body_that_is_cut_off_never_reaches_the_application(web: Web, rest: bytes) -> None:
    before = web.runs()
    with web.connect() as client:
        client.sendall(post("/a", "Transfer-Encoding: chunked") + b"f\r\n" + b'{"payload": {}}' + b"\r\n" + rest)
        client.shutdown(socket.SHUT_WR)
        assert answer(client)[0] in (0, 400)
    assert web.runs() == before + 1


def test_document_may_be_larger_than_other_bodies(web: Web) -> None:
    head = post("/documents", "Content-Length: 300000", "Connection: close")
    assert web.exchange(head + b"a" * 300_000)[2].split()[:3] == [b"POST", b"/documents", b"300000"]
    assert web.exchange(post("/documents", "Content-Length: 300001"))[0] == 413


def test_body_that_is_too_large_is_refused(web: Web) -> None:
    for framing, rest in (
        ("Content-Length: 100001", b""),
        ("Transfer-Encoding: chunked", b"20000\r\n" + b"a" * 0x20000),
    ):
        status, headers, body = web.exchange(post("/a", framing) + rest)
        assert (status, json.loads(body)["reason_code"]) == (413, "payload_too_large")
        assert headers["connection"] == "close"


def test_request_that_is_refused_anyway_is_answered_without_its_body(web: Web) -> None:
    with web.connect() as client:
        client.sendall(post("/refused?unread=1", "Content-Length: 900") + b"{")
        assert client.recv(100).startswith(b"HTTP/1.1 200")  # a server that waits for the body answers 408


def test_body_that_the_application_asks_for_after_all_is_read_under_the_deadlines(web: Web) -> None:
    assert web.exchange(post("/refused", "Content-Length: 5", "Connection: close") + b"12345")[2].split()[2] == b"5"
    assert web.exchange(post("/refused", "Content-Length: 5") + b"1")[0] == 408


def test_connection_ends_after_a_number_of_requests(web: Web) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
    closes = []
    for _ in range(5):
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        closes.append(response.getheader("connection") == "close")
    assert closes == [False] * 4 + [True]


def test_head_has_no_body(web: Web) -> None:
    status, _, body = web.exchange(b"HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (status, body) == (200, b"")


def test_http_2_is_not_spoken(web: Web) -> None:
    with web.connect() as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        answered = client.recv(1_000)
    assert answered == b"" or answered.startswith(b"HTTP/1.1 4")
    with web.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n")
        assert answer(client)[0] == 200


@pytest.mark.parametrize("size", [65_536 * 16, 65_536 * 320, 65_536 * 960])
def test_response_of_any_size_arrives_whole(web: Web, size: int) -> None:
    """The middle one goes through a temporary file, the last one through a pipe, since files may take 40 MB."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)) as connection:
        connection.request("GET", f"/?size={size}")
        response = connection.getresponse()
        assert (response.status, len(response.read())) == (200, size)


def test_reader_that_does_not_read_is_cut_off_and_its_file_removed(web: Web) -> None:
    client = web.connect(receive_buffer=2_048)
    client.sendall(get(f"/?size={65_536 * 320}"))
    time.sleep(1)
    assert spooled(web) == 1
    deadline = time.monotonic() + 30
    while spooled(web) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert spooled(web) == 0
    client.close()


def spooled(web: Web) -> int:
    """Return the number of temporary files that the web process has open."""
    (worker,) = web.process.children()
    links = [entry.readlink() for entry in Path(f"/proc/{worker.pid}/fd").iterdir() if entry.is_symlink()]
    return sum("/responses-" in str(link) for link in links)


def test_address_with_too_many_requests_at_once_is_refused_and_others_are_not(web: Web) -> None:
    slow = [web.connect(number=77) for _ in range(6)]
    for client in slow:
        client.sendall(get("/?sleep=1.5"))
    time.sleep(0.3)
    status, headers, body = web.exchange(get("/"), number=77)
    assert (status, json.loads(body)["reason_code"]) == (429, "too_many_connections")
    assert headers["retry-after"] == "1"
    assert web.exchange(get("/"), number=78)[0] == 200
    assert [answer(client)[0] for client in slow] == [200] * 6


def test_slow_clients_take_no_thread() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    patient = LIMITS | {"THREADA_BODY_PAUSE_SECONDS": "60", "THREADA_HEAD_SECONDS": "60"}
    with web_server(APPLICATION, port=port, processes=1, environment=patient) as process:
        web = Web(port, process)
        slow = [web.connect(number=100 + number // 5) for number in range(100)]
        for number, client in enumerate(slow):
            client.sendall(
                [b"POST", post("/a", "Content-Length: 9") + b"1", post("/a", "Content-Length: 90000")][number % 3]
            )
        assert web.exchange(get("/"), number=5)[0] == 200
        assert select.select(slow, [], [], 0)[0] == []  # all of them still wait
        for client in slow:
            client.close()


def test_running_requests_are_answered_when_the_server_stops() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with web_server(
        APPLICATION, port=port, processes=1, environment=LIMITS | {"THREADA_BODY_PAUSE_SECONDS": "60"}
    ) as main:
        web = Web(port, main)
        slow = [web.connect(number=20 + number) for number in range(6)]
        for number, client in enumerate(slow):
            client.sendall([b"POST", post("/a", "Content-Length: 900") + b"1"][number % 2])
        answers: list[int] = []
        running = [threading.Thread(target=lambda: answers.append(web.exchange(get("/?sleep=2"))[0])) for _ in range(4)]
        for each in running:
            each.start()
        time.sleep(0.5)
        began = time.monotonic()
        main.terminate()
        for each in running:
            each.join()
        main.wait(20)
        took = time.monotonic() - began
    assert answers == [200] * 4
    assert took < 9
    stopped = [answer(client) for client in slow]
    assert {status for status, _, _ in stopped} <= {0, 408, 503}
    assert [json.loads(body)["reason_code"] for status, _, body in stopped if status == 503] == ["stopping"] * 3


def test_client_behind_a_proxy_cannot_hide_its_address(web: Web) -> None:
    """The server drops values that are not ASCII, so the request would count as one of the proxy, without limits."""
    head = b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: %s198.51.100.7\r\n\r\n"
    status, _, body = web.exchange(head % b"203.0.113.9, ", number=211)
    assert (status, body.split()[4]) == (200, b"198.51.100.7")
    status, _, body = web.exchange(head % "é, ".encode(), number=211)
    assert (status, json.loads(body)["reason_code"]) == (400, "bad_request")


def test_method_is_the_one_that_django_sees(web: Web) -> None:
    status, _, body = web.exchange(b"post /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert (status, body.split()[0]) == (200, b"POST")
