"""Executions while the worker is killed every two seconds, and PostgreSQL once: each has exactly one effect.

THREADA_STORM: number of executions (300); THREADA_STORM_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.adversarial.banks import FORGETS, KEEPS
from tests.adversarial.payments import PATIENCE_S, Payments, running_payments

pytestmark = [pytest.mark.adversarial, pytest.mark.slow, pytest.mark.timeout(900)]

COUNT = int(os.environ.get("THREADA_STORM", "300"))
SEED = int(os.environ.get("THREADA_STORM_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
KILL_EVERY_S = 2.0
AT_ONCE = 3
CLIENTS = 3
STORM_AT_MOST_S = 15 + COUNT * 0.08
FEWEST_KILLS = 8
SWEEP_S, SLACK_S = 5, 45
DRAINED_AT_MOST_S = 240 + COUNT * 0.1
DELAYS = {"Hooli": 0.0, "Umbrella": 0.1, "Stark": 0.5}


def ask_for_all(payments: Payments, plan: list[tuple[int, str, str]]) -> dict[str, str]:
    """Request every execution of the plan with concurrent clients. Return the integration of each."""
    asked: dict[str, str] = {}
    waiting, lock, failures = list(reversed(plan)), threading.Lock(), []

    def ask() -> None:
        try:
            while True:
                with lock:
                    if not waiting:
                        return
                    amount, vendor, integration = waiting.pop()
                item = payments.hand_in({"vendor": vendor, "amount_minor": amount})
                execution = payments.execute(item, integration)
                with lock:
                    asked[execution] = integration
        except BaseException as error:
            failures.append(error)
            raise

    clients = [threading.Thread(target=ask, daemon=True) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert failures == []
    return asked


def effects(payments: Payments, integration: str) -> dict[str, list[dict[str, Any]]]:
    """Return the requests that reached a bank, by Idempotency-Key."""
    found = defaultdict(list)
    for entry in payments.receiver.requests():
        if entry["path"].startswith(f"/{integration}/"):
            found[entry["headers"]["idempotency-key"]].append(entry)
    return found


def still_open(payments: Payments) -> tuple[int, float]:
    """Return the number of open executions and the age of the oldest expired lease. Retries while the database
    starts."""
    while True:
        try:
            return payments.open_count(), float(payments.overdue_s())
        except psycopg.OperationalError:
            time.sleep(0.2)


@dataclass(frozen=True)
class StormResult:
    """Result of a storm. `overdue_s`: longest time that a lease was expired; `left`: open executions at its end."""

    lasted_s: float
    drained_s: float
    left: int
    overdue_s: float
    deaths: Counter[str]
    asked: dict[str, str]


def run_storm(payments: Payments, folder: Path, plan: list[tuple[int, str, str]], *, database_at: int) -> StormResult:
    """Request the plan while workers die, and PostgreSQL after `database_at` of them. Wait until all executions have
    ended. The storm lasts until at least `FEWEST_KILLS` workers were killed."""
    began_at, overdue_s = time.monotonic(), 0.0
    asked: dict[str, str] = {}
    clients = threading.Thread(target=lambda: asked.update(ask_for_all(payments, plan)), daemon=True)
    clients.start()
    is_database_killed, left = False, COUNT
    with payments.killed_workers(AT_ONCE, kill_every_s=KILL_EVERY_S) as deaths:
        while (killed := deaths()["killed"]) < FEWEST_KILLS or (
            time.monotonic() - began_at < STORM_AT_MOST_S and (left or clients.is_alive())
        ):
            time.sleep(0.5)
            if not is_database_killed and killed >= database_at:
                is_database_killed = True
                payments.server.kill_the_database()
            left, overdue = still_open(payments)
            overdue_s = max(overdue_s, overdue)
        clients.join(PATIENCE_S)
    over_at = time.monotonic()
    assert is_database_killed
    while still_open(payments)[0] and time.monotonic() - over_at < DRAINED_AT_MOST_S:
        time.sleep(0.5)
    return StormResult(over_at - began_at, time.monotonic() - over_at, left, overdue_s, deaths(), asked)


def test_every_execution_has_exactly_one_effect(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    plan = [(number + 1, rng.choice(list(DELAYS)), rng.choice([KEEPS, FORGETS])) for number in range(COUNT)]
    print(f"\nstorm: seed {SEED}")
    with running_payments(tmp_path) as payments:
        payments.receiver.behave(
            {
                f"/{bank}/pay/{vendor}": {"delay_s": delay_s, "dedupe": bank == KEEPS}
                for bank in (KEEPS, FORGETS)
                for vendor, delay_s in DELAYS.items()
            }
        )
        weather = run_storm(payments, tmp_path, plan, database_at=rng.randint(4, 7))
        ended = payments.ended()
        payments.server.manage("verify_receipts", "--tenant", "demo")
        kept, forgotten = effects(payments, KEEPS), effects(payments, FORGETS)
    statuses = Counter(f"{each.integration} {each.status}" for each in ended)
    print(
        f"storm ({datetime.now(UTC):%Y-%m-%d}): {COUNT} executions, {weather.deaths['killed']} workers and the database "
        f"killed in {weather.lasted_s:.0f} s; {weather.left} open then, all ended {weather.drained_s:.0f} s later; "
        f"{sum(each.worker_deaths for each in ended)} calls lost their worker, a lease was over for at most "
        f"{weather.overdue_s:.0f} s; {dict(statuses)}; {sum(map(len, kept.values()))} requests for {len(kept)} effects "
        f"where the receiver deduplicates, {sum(map(len, forgotten.values()))} for {len(forgotten)} where not"
    )
    assert weather.deaths["killed"] > FEWEST_KILLS
    assert weather.overdue_s < SWEEP_S + SLACK_S
    assert len(weather.asked) == COUNT
    assert {each.public_id: each.integration for each in ended} == weather.asked
    assert [each for each in ended if each.terminal != (f"execution.{each.status}",)] == []
    keeps = [each.public_id for each in ended if each.integration == KEEPS]
    assert {each.status for each in ended if each.integration == KEEPS} == {"succeeded"}
    assert {key: sum(entry["effect"] for entry in entries) for key, entries in kept.items()} == dict.fromkeys(keeps, 1)
    forgets = {each.public_id: each.status for each in ended if each.integration == FORGETS}
    assert set(forgets.values()) <= {"succeeded", "outcome_unknown"}
    assert {key: len(entries) for key, entries in forgotten.items()} == dict.fromkeys(forgotten, 1)
    assert {key for key, status in forgets.items() if status == "succeeded"} <= set(forgotten) <= set(forgets)
