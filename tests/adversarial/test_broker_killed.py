"""RabbitMQ, the relay and workers are killed (-9) under load: nothing is lost and nothing is done twice.

The receiver's log is the evidence. THREADA_BROKER_STORM: number of executions for each (60).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest

from tests.adversarial.banks import FORGETS, KEEPS
from tests.adversarial.payments import Payments, running_payments
from tests.adversarial.test_storm import DELAYS, ask_for_all, effects, still_open
from tests.adversarial.waiting import until
from tests.broker import PASSWORD, Broker, require_broker

pytestmark = [pytest.mark.adversarial, pytest.mark.slow, pytest.mark.timeout(600)]

COUNT = int(os.environ.get("THREADA_BROKER_STORM", "60"))
KILLS = 3
KILL_EVERY_S = 3.0
DRAINED_WITHIN_S = 90 + COUNT * 0.1


@dataclass(frozen=True)
class Site:
    """An instance with its own broker, so that both may be killed."""

    payments: Payments
    broker: Broker

    def kill_broker(self) -> None:
        self.broker.kill()
        time.sleep(1)
        self.broker.start()

    def kill_relay(self) -> None:
        self._kill_named("SELECT holder FROM tenancy_relay")

    def kill_pool(self) -> None:
        """Kill the worker process that runs executions; the other processes of the worker keep running."""
        self._kill_named("SELECT id FROM tenancy_worker WHERE id LIKE '%:executions:%' ORDER BY beat_at DESC LIMIT 1")

    def kill_worker(self) -> None:
        self.payments.own_worker().kill()

    def _kill_named(self, query: str) -> None:
        """Kill the process that is part of a name: `host:pid:kind:…`."""
        ends = time.monotonic() + 20
        while time.monotonic() < ends:
            with psycopg.connect(self.payments.server.database_url) as database:
                row = database.execute(query.encode()).fetchone()
            with contextlib.suppress(ProcessLookupError):
                if row is not None:
                    os.kill(int(row[0].split(":")[1]), signal.SIGKILL)
                    return
            time.sleep(0.1)
        raise AssertionError("there is none to be killed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    require_broker()
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    try:
        with running_payments(tmp_path_factory.mktemp("instance"), **broker.environment()) as payments:
            payments.receiver.behave(
                {
                    f"/{bank}/pay/{vendor}": {"delay_s": delay_s, "dedupe": bank == KEEPS}
                    for bank in (KEEPS, FORGETS)
                    for vendor, delay_s in DELAYS.items()
                }
            )
            yield Site(payments, broker)
            assert PASSWORD not in payments.server.log.read_text()
    finally:
        broker.stop()


@pytest.mark.parametrize(
    ("kill", "loses_calls"),
    [(Site.kill_broker, False), (Site.kill_relay, False), (Site.kill_pool, True), (Site.kill_worker, True)],
    ids=["broker", "relay", "pool", "worker"],
)
def test_every_execution_has_exactly_one_effect(site: Site, kill: Callable[[Site], None], *, loses_calls: bool) -> None:
    payments, rng = site.payments, random.Random(COUNT)
    plan = [(number + 1, rng.choice(list(DELAYS)), rng.choice([KEEPS, FORGETS])) for number in range(COUNT)]
    asked: dict[str, str] = {}
    clients = threading.Thread(target=lambda: asked.update(ask_for_all(payments, plan)), daemon=True)
    began_at = time.monotonic()
    clients.start()
    for _ in range(KILLS):
        time.sleep(KILL_EVERY_S)
        kill(site)
    clients.join(DRAINED_WITHIN_S)
    over_at = time.monotonic()
    took = until(lambda: not still_open(payments)[0], seconds=DRAINED_WITHIN_S, pause_s=0.3)
    ended = [each for each in payments.ended() if each.public_id in asked]
    statuses = Counter(f"{each.integration} {each.status}" for each in ended)
    print(
        f"\n{COUNT} executions, killed {KILLS} times: asked in {over_at - began_at:.0f} s, all ended "
        f"{took:.0f} s later; {dict(statuses)}"
    )
    assert len(asked) == len(ended) == COUNT
    assert [each for each in ended if each.terminal != (f"execution.{each.status}",)] == []
    assert all(each.status == "succeeded" for each in ended if each.integration == KEEPS or not loses_calls)
    assert {each.status for each in ended} <= {"succeeded", "outcome_unknown"}
    for bank in (KEEPS, FORGETS):
        calls = {key: entries for key, entries in effects(payments, bank).items() if key in asked}
        succeeded = {each.public_id for each in ended if each.integration == bank and each.status == "succeeded"}
        assert succeeded <= set(calls)
        assert {key: sum(entry["effect"] for entry in entries) for key, entries in calls.items()} == dict.fromkeys(
            calls, 1
        )
        if bank == FORGETS or not loses_calls:
            assert {key: len(entries) for key, entries in calls.items()} == dict.fromkeys(calls, 1)
    assert jobs_left(payments) == set()


def test_web_serves_without_a_broker_and_jobs_wait(site: Site) -> None:
    payments = site.payments
    site.broker.kill()
    items = [payments.hand_in({"vendor": "Hooli", "amount_minor": number}) for number in range(1, 6)]
    facts = json.loads(payments.server.manage("status", "--json"))
    worker = payments.own_worker()
    shown = {entry["pid"] for entry in facts["processes"] if entry["kind"] == "worker"}
    assert facts["engine"] == "celery"
    assert shown & {worker.pid, *(child.pid for child in worker.children())} == {worker.pid}
    assert facts["jobs_waiting"] >= 5
    site.broker.start()
    paths = [f"/work-items/{item}" for item in items]
    until(
        lambda: all(payments.server.send("GET", path).json()["status"] != "new" for path in paths),
        seconds=DRAINED_WITHIN_S,
    )


def jobs_left(payments: Payments) -> set[str]:
    """Return the tasks of jobs about executions left in the outbox once everything running has been settled."""
    ends = time.monotonic() + 30
    while True:
        with psycopg.connect(payments.server.database_url) as database:
            rows = database.execute("SELECT DISTINCT task FROM tenancy_job WHERE task LIKE 'workitems.run%'").fetchall()
        if not rows or time.monotonic() > ends:
            return {task for (task,) in rows}
        time.sleep(0.3)
