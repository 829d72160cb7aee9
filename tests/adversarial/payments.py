"""A real instance whose payments go to a real receiver: one bank deduplicates by Idempotency-Key, the other does
not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg

from tests.adversarial.banks import FORGETS, KEEPS, bank_documents
from tests.adversarial.server import REPOSITORY, Answer, Server, running_server
from tests.adversarial.waiting import until
from tests.receivers.fixtures import Receiver
from threada_site.kernel import ids

PATIENCE_S: Final = 90.0
_TERMINAL: Final = ("execution.succeeded", "execution.failed", "execution.outcome_unknown")


@dataclass(frozen=True)
class Ended:
    """State of one execution in the database. `terminal`: its receipts about how it ended."""

    public_id: str
    integration: str
    status: str
    failure: str
    worker_deaths: int
    terminal: tuple[str, ...]


@dataclass
class Payments:
    """The instance, the receiver, and the operations of an integrator."""

    server: Server
    receiver: Receiver
    folder: Path

    def open_banks(self, folder: Path, **changes: Any) -> None:
        """Publish both integrations. `changes` apply to both specs."""
        path = folder / "banks.yaml"
        path.write_text(bank_documents(self.receiver.url, **changes))
        self.apply(path)

    def apply(self, path: Path) -> None:
        self.server.manage("apply", str(path), "--tenant", "demo")

    @contextmanager
    def killed_workers(self, count: int, *, kill_every_s: float = 1e9) -> Iterator[Callable[[], Counter[str]]]:
        """Run workers that are killed and restarted repeatedly. Yield the count of ended workers.

        The worker of `up` is suspended meanwhile (SIGSTOP) and finds itself late when it resumes.
        """
        deaths = self.folder / "deaths"
        with suspended(self.own_worker()), deaths.open("wb") as output:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "tests.adversarial.forked.worker", str(count), str(kill_every_s)],
                cwd=REPOSITORY,
                env=self.server.environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.DEVNULL,
            )
            try:
                yield lambda: Counter(deaths.read_text().split())
            finally:
                keeper.communicate()

    def own_worker(self) -> psutil.Process:
        """Return the worker that `up` runs, once it runs."""
        until(self.server.own_worker, seconds=PATIENCE_S)
        worker = self.server.own_worker()
        assert worker is not None
        return worker

    def hand_in(self, payload: dict[str, Any]) -> str:
        """Return the id of a new work item, requested under the same key until it succeeds."""
        body = {"workflow_id": "payment_run", "channel_id": "web_main", "payload": payload}
        return str(self._insist("/work-items", body, expected=201)["work_item_id"])

    def execute(self, item: str, integration: str) -> str:
        """Return the id of an execution, requested under the same key until it succeeds."""
        body = {"work_item_id": item, "action_id": "pay", "integration_id": integration}
        return str(self._insist("/actions/execute", body, expected=202)["execution_id"])

    def post(self, path: str, body: dict[str, Any], *, key: str) -> Answer:
        return self.server.send("POST", path, json.dumps(body).encode(), [("Idempotency-Key", key)])

    def _insist(self, path: str, body: dict[str, Any], *, expected: int) -> dict[str, Any]:
        key, ends = uuid.uuid4().hex, time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = self.post(path, body, key=key)
            except OSError:
                answer = Answer(0, {}, b"")
            if answer.status == expected:
                return dict(answer.json())
            passing = answer.status in (0, 500, 503) or b"idempotency_in_flight" in answer.body
            assert passing, (answer.status, answer.body)
            assert time.monotonic() < ends, (answer.status, answer.body)
            time.sleep(0.2)

    def expire_leases(self, *integrations: str) -> int:
        """Expire the leases of running executions among these. Return how many."""
        with psycopg.connect(self.server.database_url) as database:
            return database.execute(
                "UPDATE integrations_execution SET lease_until = now() - interval '1 second' "
                "WHERE status = 'running' AND integration = ANY(%s)",
                [list(integrations)],
            ).rowcount

    def ended(self) -> list[Ended]:
        """Return every execution of the two banks with its terminal receipts."""
        with psycopg.connect(self.server.database_url) as database:
            rows = database.execute(
                "SELECT e.id, e.integration, e.status, e.failure, e.worker_deaths, coalesce(r.kinds, '{}') "
                "FROM integrations_execution e LEFT JOIN (SELECT execution_id, array_agg(kind::text) AS kinds "
                "FROM telemetry_receipt WHERE kind = ANY(%s) GROUP BY execution_id) r ON r.execution_id = e.id "
                "WHERE e.integration = ANY(%s)",
                [list(_TERMINAL), [KEEPS, FORGETS]],
            ).fetchall()
        return [Ended(ids.public_id(ids.EXECUTION, row[0]), *row[1:5], tuple(row[5])) for row in rows]

    def open_count(self) -> int:
        """Return the number of executions that have not ended."""
        return self._number("SELECT count(*) FROM integrations_execution WHERE status IN ('started', 'running')")

    def overdue_s(self) -> float:
        """Return the seconds since the oldest expired lease expired; 0 if there is none."""
        return self._number(
            "SELECT coalesce(greatest(0, extract(epoch FROM now() - min(lease_until))), 0) "
            "FROM integrations_execution WHERE status = 'running'"
        )

    def _number(self, query: str) -> Any:
        with psycopg.connect(self.server.database_url) as database:
            row = database.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


@contextmanager
def suspended(process: psutil.Process) -> Iterator[None]:
    """Suspend the process and its children during the block (SIGSTOP)."""
    process.suspend()
    children = process.children(recursive=True)
    for each in children:
        each.suspend()
    try:
        yield
    finally:
        for each in (*children, process):
            each.resume()


@contextmanager
def running_payments(folder: Path, *, again: Receiver | None = None, **own: str) -> Iterator[Payments]:
    """Run the instance, its receiver and the two banks. `again`: the receiver of a previous run, which still exists."""
    receiver = again or Receiver(folder)
    own = {"THREADA_EGRESS_ALLOW": "127.0.0.1/32", **own}
    try:
        with running_server(folder, **own) as server:
            payments = Payments(server, receiver, folder)
            if again is None:
                payments.open_banks(folder)
            yield payments
    finally:
        if again is None:
            receiver.stop()
