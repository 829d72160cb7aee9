"""A flood of refused requests leaves a bounded number of receipts, whose counts sum up to the flood."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import orjson
import psycopg
import pytest

from tests.adversarial.server import Server, running_server
from tests.adversarial.waiting import until
from tests.examples import CHOSEN

pytestmark = [pytest.mark.adversarial, pytest.mark.timeout(900)]

FLOOD: Final = 13_000 if CHOSEN == "many" else 2_000
FEW: Final = 400
CLIENTS: Final = 8
RATE: Final = 10
PROCESSES: Final = 2


def instance(directory: Path) -> AbstractContextManager[Server]:
    return running_server(directory, THREADA_WEB_PROCESSES=str(PROCESSES))


def flood(server: Server, path: str, requests: int) -> Counter[int]:
    """Send requests on a few connections. Return how often each status came."""

    def send(count: int) -> Counter[int]:
        statuses: Counter[int] = Counter()
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        for _ in range(count):
            connection.request("GET", path, headers={"Authorization": f"Bearer {server.token}"})
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
        connection.close()
        return statuses

    with ThreadPoolExecutor(CLIENTS) as clients:
        return sum(clients.map(send, [requests // CLIENTS] * CLIENTS), Counter())


def receipts(server: Server, kind: str) -> list[dict[str, Any]]:
    with psycopg.connect(server.database_url) as database:
        rows = database.execute("SELECT body FROM telemetry_receipt WHERE kind = %s ORDER BY id", [kind])
        return [orjson.loads(bytes(body)) for (body,) in rows]


def unrecorded(server: Server) -> int:
    with psycopg.connect(server.database_url) as database:
        row = database.execute("SELECT coalesce(sum(count), 0) FROM telemetry_refusalcount").fetchone()
        return int(row[0]) if row else 0


def counted(server: Server, reason_code: str) -> int:
    """Return the number of refusals that receipts are about."""
    single = [body for body in receipts(server, "request.refused") if body["outcome"]["reason_code"] == reason_code]
    sums = [body for body in receipts(server, "requests.refused") if body["outcome"]["reason_code"] == reason_code]
    return len(single) + sum(body["outcome"]["count"] for body in sums)


def test_every_refusal_of_a_flood_is_counted_once(tmp_path: Path) -> None:
    """Processes that are stopped in the middle of an interval store their counts first."""
    with instance(tmp_path) as server:
        assert flood(server, "/work-items/wi_unknown", FLOOD) == {404: FLOOD}
    with instance(tmp_path) as server:
        until(lambda: counted(server, "not_found") == FLOOD, seconds=240, pause_s=1)
        sums = receipts(server, "requests.refused")
        minutes = len({body["outcome"]["interval"] for body in sums})
        assert len(receipts(server, "request.refused")) <= RATE * PROCESSES * (minutes + 1)
        assert len(sums) <= 2 * minutes
        assert unrecorded(server) == 0
        server.manage("verify_receipts")


def test_killed_processes_lose_seconds_of_counts_and_no_receipt(tmp_path: Path) -> None:
    with instance(tmp_path) as server:
        flood(server, "/work-items/wi_unknown", FEW)
        until(lambda: unrecorded(server) > 0)
        flood(server, "/work-items/wi_unknown", FEW)
        single, stored = len(receipts(server, "request.refused")), unrecorded(server)
        for process in server.web_processes()[1:]:
            process.kill()
        assert single >= RATE
        until(lambda: unrecorded(server) == 0, seconds=240, pause_s=1)
        assert single + stored <= counted(server, "not_found") <= 2 * FEW
        assert flood(server, "/me", CLIENTS) == {200: CLIENTS}
