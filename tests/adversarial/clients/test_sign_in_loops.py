"""Strangers who try passwords in loops: others are served, and a person who signed in before gets in."""

from __future__ import annotations

import contextlib
import http.client
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlencode

import pytest

from tests.adversarial.clients.test_slow_clients import create
from tests.adversarial.server import Server

pytestmark = [pytest.mark.adversarial, pytest.mark.quiet, pytest.mark.timeout(900)]

LOOPS: Final = 16
MEGABYTE: Final = 1024 * 1024
SECONDS: Final = 5.0
WITHIN_S: Final = 1.0
TOKEN: Final = "a" * 32
PERSON: Final = "admin"
type Names = Callable[[int], str]


@pytest.fixture(scope="module")
def server(flooded: Server) -> Server:
    for _ in range(30):
        assert create(flooded).status == 201
        assert flooded.send("GET", "/healthz").status == 200
        assert flooded.send("GET", "/console/login/").status == 200
    for number in range(20):
        assert sign_in(flooded, f"nobody-{number}", "guess", address=f"127.0.5.{number + 1}")[0] == 200
    return flooded


@pytest.fixture(autouse=True)
def nothing_fails(server: Server) -> Iterator[None]:
    yield
    assert "Traceback" not in server.log.read_text()
    assert "internal_error" not in server.log.read_text()


def post(server: Server, path: str, form: dict[str, str], *, address: str, cookie: str = "") -> tuple[int, str]:
    """Send a form as a browser at `address`. Return the status and the cookie of a known browser, if it was set."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30, source_address=(address, 0))
    headers = {
        "Accept": "text/html",
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": f"threada_csrf={TOKEN}; {cookie}",
        "Host": "localhost",
    }
    with contextlib.closing(connection):
        connection.request("POST", path, urlencode({**form, "csrfmiddlewaretoken": TOKEN}), headers)
        answer = connection.getresponse()
        answer.read()
        cookies = [each.partition(";")[0] for each in answer.headers.get_all("Set-Cookie") or []]
        return answer.status, next((each for each in cookies if each.startswith("threada_browser=")), "")


def sign_in(server: Server, name: str, password: str, *, address: str, cookie: str = "") -> tuple[int, str]:
    form = {"username": name, "password": password, "next": "/console/"}
    return post(server, "/console/login/", form, address=address, cookie=cookie)


@contextmanager
def loops(server: Server, addresses: Sequence[str], names: Names) -> Iterator[Counter[int]]:
    """Try passwords in sixteen loops. Yield the number of answers by status."""
    stop, statuses = threading.Event(), Counter[int]()

    def loop(number: int) -> None:
        address = addresses[number % len(addresses)]
        tries = 0
        while not stop.is_set():
            tries += 1
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, _ = sign_in(server, names(number * 10_000 + tries), f"guess {tries}", address=address)
                statuses[status] += 1

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(LOOPS)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def times(server: Server, seconds: float) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {"healthz": [], "create": []}
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for kind, expected in (("healthz", 200), ("create", 201)):
            began = time.monotonic()
            answer = server.send("GET", "/healthz") if kind == "healthz" else create(server)
            took[kind].append(time.monotonic() - began)
            assert answer.status == expected, answer
        time.sleep(0.1)
    return took


def shown(took: dict[str, list[float]]) -> str:
    return ", ".join(
        f"{kind} {statistics.median(each) * 1000:.0f} ms, at most {max(each) * 1000:.0f} ms"
        for kind, each in took.items()
    )


ATTACKS: Final[dict[str, tuple[Sequence[str], Names]]] = {
    "one address, one account": (["127.0.0.11"], lambda _: PERSON),
    "one address, many accounts": (["127.0.0.12"], lambda number: f"person-{number}"),
    "sixteen addresses, one account": ([f"127.0.1.{number}" for number in range(1, 17)], lambda _: PERSON),
    "sixteen addresses, many accounts": (
        [f"127.0.2.{number}" for number in range(1, 17)],
        lambda number: f"person-{number}",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_sign_in_loops_delay_nobody(server: Server, attack: str) -> None:
    addresses, names = ATTACKS[attack]
    before = server.web_memory()
    idle = times(server, SECONDS / 3)
    with loops(server, addresses, names) as statuses:
        time.sleep(1)
        under = times(server, SECONDS)
        most = server.web_memory()
    print(f"\n{attack}: idle {shown(idle)}; attacked {shown(under)}; memory {before / MEGABYTE:.0f} MB, "
          f"{most / MEGABYTE:.0f} MB; answers {dict(statuses)}")  # fmt: skip
    assert set(statuses) <= {200, 429}
    assert statuses[429]
    for kind in idle:
        assert statistics.median(under[kind]) < WITHIN_S
        # The loops themselves, and other tests, use the same processors.
        assert statistics.median(under[kind]) < 10 * statistics.median(idle[kind]) + 0.1
    assert most - before < 120 * MEGABYTE


def test_a_person_in_a_known_browser_signs_in_while_strangers_hammer(server: Server) -> None:
    """Let sixteen loops try the person's account, some from the person's own address."""
    password = server.log.read_text().partition("user admin, password ")[2].split()[0]
    own = "127.0.3.1"
    status, cookie = sign_in(server, PERSON, password, address=own)
    assert status == 302
    assert cookie
    with loops(server, [own, "127.0.3.2"], lambda _: PERSON) as statuses:
        time.sleep(3)
        assert statuses[429]
        began = time.monotonic()
        outcomes = [sign_in(server, PERSON, password, address=own, cookie=cookie)[0] for _ in range(10)]
        took = time.monotonic() - began
    print(f"\nten sign-ins from a known browser in {took:.1f} s: {outcomes}")
    assert outcomes == [302] * 10


def test_resets_delay_nobody(server: Server) -> None:
    idle = times(server, SECONDS / 3)
    stop = threading.Event()

    def loop(number: int) -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                post(server, "/console/password-reset/", {"account": PERSON}, address=f"127.0.4.{number + 1}")

    threads = [threading.Thread(target=loop, args=(number,)) for number in range(LOOPS)]
    for thread in threads:
        thread.start()
    try:
        under = times(server, SECONDS / 2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    print(f"\nresets: idle {shown(idle)}; attacked {shown(under)}")
    assert max(statistics.median(each) for each in under.values()) < WITHIN_S
