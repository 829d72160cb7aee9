"""Requests that wait for a change: they use no thread, end at once when they should, and are limited."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.benchmarks.servers import web_server
from tests.threada_site.runtime.web.test_served import APPLICATION, Web, answer, get
from threada_site.kernel.waits import Awaited, Watched, preferred_wait
from threada_site.runtime.web.held_requests import HeldRequests
from threada_site.runtime.web.limits import Limits

LIMITS = {"THREADA_WAITS": "8", "THREADA_WAITS_PER_TENANT": "6", "THREADA_MAX_BODY_BYTES": "100000"}


@pytest.fixture
def web() -> Iterator[Web]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with web_server(APPLICATION, port=port, processes=1, environment=LIMITS) as process:
        yield Web(port, process)


def waiting(web: Web, *, tenant: int = 1, seconds: int = 20) -> socket.socket:
    client = web.connect(number=tenant, timeout=15)
    client.sendall(
        f"GET /wait/{tenant} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nPrefer: wait={seconds}\r\n\r\n".encode()
    )
    return client


def read(client: socket.socket) -> str:
    status, _, body = answer(client)
    client.close()
    assert status in (200, 500), status
    return body.decode()


def is_held(client: socket.socket) -> bool:
    """Return True if there is no answer for half a second, longer than a request that is not held takes."""
    client.settimeout(0.5)
    try:
        client.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        client.settimeout(15)
    return False


def test_waits_use_no_thread_and_end_at_once(web: Web) -> None:
    assert web.exchange(get("/wait/1"))[2] == b"new None False"
    first = [waiting(web) for _ in range(6)]  # more than there are threads
    assert all(is_held(client) for client in first)
    beyond = read(waiting(web))
    assert beyond == "new None False"
    others = [waiting(web, tenant=2), waiting(web, tenant=2)]
    assert all(is_held(client) for client in others)
    assert read(waiting(web, tenant=3)) == "new None False"

    first.pop().close()  # its place becomes free once the server notices
    deadline = time.monotonic() + 10
    while not is_held(replacement := waiting(web)):
        replacement.close()
        assert time.monotonic() < deadline
    assert web.exchange(get("/status/0"))[0] == 200
    answers = [read(client) for client in [*first, *others, replacement]]
    assert answers == ["0 20 False"] * 8

    assert read(waiting(web, seconds=1)) == "0 1 False"
    posting = web.connect(number=1, timeout=15)
    head = b"POST /wait/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nPrefer: wait=20\r\nContent-Length: 7\r\n\r\n"
    posting.sendall(head + b"payment")
    assert is_held(posting)
    web.exchange(get("/status/7"))
    assert is_held(posting)  # a status during which it waits
    web.exchange(get("/status/1"))
    assert read(posting) == "1 20 False 0"  # run again without its body
    web.exchange(get("/status/0"))
    failing = b"GET /wait/1?fails HTTP/1.1\r\nHost: x\r\nConnection: close\r\nPrefer: wait=20\r\n\r\n"
    for _ in range(9):  # a failure is answered at once, and gives its place back
        assert web.exchange(failing)[::2] == (500, b"0 None True")

    last = [waiting(web) for _ in range(3)]
    assert all(is_held(client) for client in last)
    web.process.terminate()
    assert [read(client) for client in last] == ["0 0 False"] * 3
    web.process.wait(timeout=15)


def test_an_outage_of_the_database_is_logged_once(tmp_path: Path) -> None:
    answers: list[bool] = [False, False, True, False]

    def read_statuses(_watched: Collection[Watched]) -> dict[uuid.UUID, str]:
        if not answers.pop(0):
            raise ConnectionError
        return {}

    async def look() -> list[Any]:
        held = HeldRequests(Limits(), read_statuses, stopping=tmp_path / "stopping")
        watched = Watched(Awaited.WORK_ITEM, uuid.uuid4(), uuid.uuid4(), frozenset())
        return [await held._read({watched}) for _ in range(4)]

    with capture_logs() as logs:
        assert asyncio.run(look()) == [None, None, {}, None]
    assert [entry["event"] for entry in logs] == ["statuses_not_read"] * 2


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("wait=5", 5),
        ('respond-async, WAIT = "7"; x=1', 7),
        ("handling=lenient,wait=900", 30),
        ("wait=0", 0),
        ("wait", None),
        ("wait=-1", None),
        ("wait=5s", None),
        ("await=5", None),
        ("wait=99999999999", None),
        ("", None),
    ],
)
def test_preferred_wait(prefer: str, expected: int | None) -> None:
    assert preferred_wait(prefer) == expected
