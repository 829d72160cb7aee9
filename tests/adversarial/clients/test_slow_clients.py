"""Slow clients do not delay others: heads, bodies and readers that never end, from many addresses, on public paths."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.adversarial.clients.slow_clients import (
    attack,
    reader,
    silence,
    slow_body,
    slow_chunks,
    slow_form,
    slow_head,
)
from tests.adversarial.server import Answer, Server
from tests.contract.document import operations
from threada_site.kernel import tokens

pytestmark = [pytest.mark.adversarial, pytest.mark.quiet, pytest.mark.timeout(900)]

MEGABYTE: Final = 1024 * 1024
THREADS: Final = 2 * 4
COUNTS: Final = (THREADS + 1, 2_000)
WITHIN_S: Final = 1.0
"""For the median. The slowest request may take five times as long, because the machine is shared."""
SECONDS: Final = 5.0
STRANGER: Final = tokens.new_token()
BODY: Final = json.dumps(
    {"workflow_id": "policy_review", "channel_id": "web_main", "payload": {"question": "Still there?"}}
).encode()
PUBLIC: Final = sorted(
    {operation.at(dict.fromkeys(operation.variables, "x")) for operation in operations() if operation.is_public}
)
PAGES: Final = ["/console/login/", "/console/password-reset/", "/console/password-reset/x/", "/console/invitations/x/"]
PATHS: Final = [*PUBLIC, "/work-items", "/callbacks/x", *PAGES, "/nowhere"]
LARGE: Final = ["/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js", "/openapi.json", "/docs"]


@pytest.fixture(scope="module")
def server(flooded: Server) -> Server:
    for _ in range(30):  # so that every thread has answered every path, and memory is what it stays
        assert create(flooded).status == 201
        for path in (*LARGE, *PATHS):
            assert flooded.send("GET", path).status < 500
    return flooded


@pytest.fixture(autouse=True)
def nothing_fails(server: Server) -> Iterator[None]:
    yield
    assert "Traceback" not in server.log.read_text()
    assert "internal_error" not in server.log.read_text()


def create(server: Server) -> Answer:
    return server.send("POST", "/work-items", BODY)


def check_that_others_are_served(server: Server, name: str, *, seconds: float = SECONDS) -> None:
    """Assert for some seconds that healthz and creates are answered within a second, and that memory stays flat."""
    before, most = server.web_memory(), 0
    took: dict[str, list[float]] = {"healthz": [], "create": []}
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for kind, expected in (("healthz", 200), ("create", 201)):
            began = time.monotonic()
            answer = server.send("GET", "/healthz") if kind == "healthz" else create(server)
            took[kind].append(time.monotonic() - began)
            assert answer.status == expected, answer
        most = max(most, server.web_memory())
        time.sleep(0.2)
    medians = {kind: statistics.median(each) for kind, each in took.items()}
    slowest = {kind: max(each) for kind, each in took.items()}
    print(
        f"\n{name}: "
        + ", ".join(f"{kind} {medians[kind] * 1000:.0f} ms, at most {slowest[kind] * 1000:.0f} ms" for kind in took)
        + f"; memory {before / MEGABYTE:.0f} MB, at most {most / MEGABYTE:.0f} MB"
    )
    assert max(medians.values()) < WITHIN_S
    assert max(slowest.values()) < 5 * WITHIN_S
    assert most - before < 100 * MEGABYTE


def bodies(server: Server, count: int) -> list[bytes]:
    """Return the begins of bodies: those that an application reads or, for more connections, those on all paths.

    With no token, with one that no credential has, and with one in use.
    """
    read = [
        slow_form("/console/login/"),
        slow_body("/callbacks/x"),
        slow_body("/work-items", token=server.token),
    ]
    if count <= THREADS + 1:
        return read
    kinds = [slow_body(path, token=token) for path in PATHS for token in ("", STRANGER, server.token)]
    return read + kinds + [slow_chunks(path) for path in PATHS]


def test_server_is_fast_without_slow_clients(server: Server) -> None:
    check_that_others_are_served(server, "idle", seconds=4.0)


@pytest.mark.parametrize("count", COUNTS)
def test_silent_clients_and_slow_heads_delay_nobody(server: Server, count: int) -> None:
    beginnings = [kind(path) for path in PATHS for kind in (silence, slow_head)]
    with attack(server.port, beginnings, count=count):
        check_that_others_are_served(server, f"{count} slow heads")


@pytest.mark.parametrize("count", COUNTS)
def test_slow_bodies_delay_nobody(server: Server, count: int) -> None:
    with attack(server.port, bodies(server, count), count=count):
        check_that_others_are_served(server, f"{count} slow bodies")


@pytest.mark.parametrize("count", COUNTS)
def test_dripping_clients_delay_nobody(server: Server, count: int) -> None:
    beginnings = [*bodies(server, count), *(slow_head(path) for path in PATHS if count > THREADS + 1)]
    with attack(server.port, beginnings, count=count, drips=True):
        check_that_others_are_served(server, f"{count} dripping clients")


@pytest.mark.parametrize("count", COUNTS)
def test_slow_readers_delay_nobody(server: Server, count: int) -> None:
    paths = [*LARGE, *PATHS] if count > THREADS + 1 else LARGE[:1]
    with attack(server.port, [reader(path) for path in paths], count=count):
        check_that_others_are_served(server, f"{count} slow readers")
