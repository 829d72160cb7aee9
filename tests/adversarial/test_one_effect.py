"""Two hundred concurrent requests, a worker suspended past its lease, and a payload that kills every worker."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.adversarial.banks import FORGETS, KEEPS
from tests.adversarial.payments import Ended, Payments, running_payments, suspended
from tests.adversarial.server import Answer
from tests.adversarial.waiting import until
from tests.fax_package import FAX, install

pytestmark = [pytest.mark.adversarial, pytest.mark.slow, pytest.mark.timeout(600)]

AT_ONCE = 200
NO_ANSWER = 0  # above the limit of connections one may be closed before its answer is read
WITHIN_S = 120
DEATHS = 10
POISON = "poison"
CALLS = "        return exchange("
DIES_OF_POISON = """\
        if request["text"] == "poison":
            import os, signal
            with open(os.environ["POISONED"], "a") as deaths:
                print("killed", file=deaths)
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def payments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Payments]:
    """Run an instance with both banks and a fax connector from a third-party package."""
    folder, package = tmp_path_factory.mktemp("instance"), tmp_path_factory.mktemp("package")
    install(package, FAX.replace(CALLS, DIES_OF_POISON + CALLS))
    (package / "poisoned").touch()
    with running_payments(folder, PYTHONPATH=str(package), POISONED=str(package / "poisoned")) as running:
        running.receiver.behave({f"/{KEEPS}": {"dedupe": True}})
        yield running


def until_ended(payments: Payments, executions: set[str]) -> dict[str, Ended]:
    """Return those executions once all of them have ended."""
    ends = time.monotonic() + WITHIN_S
    while True:
        found = {each.public_id: each for each in payments.ended() if each.public_id in executions}
        if all(each.status not in ("started", "running") for each in found.values()):
            return found
        assert time.monotonic() < ends, found
        time.sleep(0.2)


def calls_of(payments: Payments, execution: str) -> list[dict[str, Any]]:
    return [entry for entry in payments.receiver.requests() if entry["headers"]["idempotency-key"] == execution]


def wait_for_call(payments: Payments, execution: str) -> None:
    until(lambda: calls_of(payments, execution), seconds=WITHIN_S, pause_s=0.05)


def test_two_hundred_posts_with_one_key_create_one_execution(payments: Payments) -> None:
    item = payments.hand_in({"vendor": "Hooli", "amount_minor": 200})
    body = {"work_item_id": item, "action_id": "pay", "integration_id": FORGETS}
    barrier, answers, lock = threading.Barrier(AT_ONCE), list[Answer](), threading.Lock()

    def post() -> None:
        barrier.wait()
        answer = payments.post("/actions/execute", body, key="the-only-key")
        with lock:
            answers.append(answer)

    posts = [threading.Thread(target=post) for _ in range(AT_ONCE)]
    for each in posts:
        each.start()
    for each in posts:
        each.join()
    statuses = Counter(answer.status for answer in answers)
    print(f"\n{AT_ONCE} posts with one key: {dict(statuses)}")
    assert sum(statuses.values()) == AT_ONCE
    assert set(statuses) <= {NO_ANSWER, 202, 409, 429}
    reasons = {answer.json()["reason_code"] for answer in answers if answer.status in (409, 429)}
    assert reasons <= {"idempotency_in_flight", "too_many_connections"}
    (execution,) = {answer.json()["execution_id"] for answer in answers if answer.status == 202}
    again = payments.post("/actions/execute", body, key="the-only-key")
    assert (again.status, again.json()["execution_id"]) == (202, execution)
    (ended,) = until_ended(payments, {execution}).values()
    assert (ended.status, ended.terminal) == ("succeeded", ("execution.succeeded",))
    assert len(calls_of(payments, execution)) == 1
    with psycopg.connect(payments.server.database_url) as database:
        of_item = database.execute(
            "SELECT count(*) FROM integrations_execution WHERE work_item_id = "
            "(SELECT work_item_id FROM integrations_execution WHERE id = "
            "(SELECT execution_id FROM telemetry_receipt WHERE kind = 'execution.succeeded' ORDER BY id DESC LIMIT 1))"
        ).fetchone()
    assert of_item == (1,)


def recorded(payments: Payments) -> list[tuple[Any, ...]]:
    """Return everything that a late worker could change."""
    with psycopg.connect(payments.server.database_url) as database:
        attempts = (
            "SELECT id, outcome, failure, ambiguous, finished_at, fencing_token FROM integrations_attempt ORDER BY id"
        )
        executions = (
            "SELECT id, status, fencing_token, attempts_made, finished_at FROM integrations_execution ORDER BY id"
        )
        receipts = "SELECT id, kind FROM telemetry_receipt WHERE execution_id IS NOT NULL ORDER BY id"
        return [row for query in (attempts, executions, receipts) for row in database.execute(query).fetchall()]


def test_worker_suspended_past_its_lease_records_no_second_effect(payments: Payments) -> None:
    slow = {"delay_s": 8.0, "times": 1}
    payments.receiver.behave({f"/{KEEPS}": {"dedupe": True, **slow}, f"/{FORGETS}": slow})
    sleeper = payments.own_worker()
    asked = {
        bank: payments.execute(payments.hand_in({"vendor": "Stark", "amount_minor": 400}), bank)
        for bank in (KEEPS, FORGETS)
    }
    for execution in asked.values():
        wait_for_call(payments, execution)
    with suspended(sleeper):
        assert payments.expire_leases(KEEPS, FORGETS) == 2
        with payments.killed_workers(1):
            ended = until_ended(payments, set(asked.values()))
            settled = recorded(payments)
    time.sleep(10)  # longer than the receiver waits: the suspended worker gets its answers
    assert sleeper.is_running()
    assert recorded(payments) == settled
    kept, forgotten = ended[asked[KEEPS]], ended[asked[FORGETS]]
    assert (kept.status, kept.terminal, kept.worker_deaths) == ("succeeded", ("execution.succeeded",), 1)
    assert (forgotten.status, forgotten.failure) == ("outcome_unknown", "worker_lost")
    assert forgotten.terminal == ("execution.outcome_unknown",)
    assert [call["effect"] for call in calls_of(payments, asked[KEEPS])] == [True, False]
    assert len(calls_of(payments, asked[FORGETS])) == 1


def test_payload_that_kills_workers_is_given_up_after_ten_and_delays_no_other(
    payments: Payments, tmp_path: Path
) -> None:
    payments.receiver.behave({f"/{KEEPS}": {"dedupe": True}})
    spec = {
        "connector": "fax",
        "base_url": payments.receiver.url,
        "idempotent": True,
        "retry": {"attempts": 3, "backoff": 0.1, "max_backoff": 0.1},
        "actions": {"pay": {"text": "${item.payload.vendor}"}},
    }
    document = tmp_path / "fax.yaml"
    document.write_text(json.dumps({"kind": "Integration", "id": "int_fax", "spec": spec}))
    payments.apply(document)
    others, expired = set[str](), 0
    poisoned_log = Path(payments.server.environment["POISONED"])
    with payments.killed_workers(1):
        poisoned = payments.execute(payments.hand_in({"vendor": POISON, "amount_minor": 1}), "int_fax")
        ends = time.monotonic() + 2 * WITHIN_S
        while (found := of_fax(payments, poisoned))[0] in ("started", "running"):
            assert time.monotonic() < ends, found
            if deaths_in(poisoned_log) > len(others):
                others.add(payments.execute(payments.hand_in({"vendor": "Hooli", "amount_minor": 2}), KEEPS))
            time.sleep(0.3)
            if deaths_in(poisoned_log) > expired:
                expired += payments.expire_leases("int_fax")
        ended = until_ended(payments, others)
        assert deaths_in(poisoned_log) == DEATHS
    assert found == ("failed", "worker_lost", DEATHS, DEATHS, ["execution.failed"])
    assert calls_of(payments, poisoned) == []
    assert {(each.status, each.terminal) for each in ended.values()} == {("succeeded", ("execution.succeeded",))}
    assert len(others) >= DEATHS - 1
    assert [sum(call["effect"] for call in calls_of(payments, other)) for other in others] == [1] * len(others)


def deaths_in(log: Path) -> int:
    """Return how many processes the payload has killed: a worker, or one of the processes of a worker."""
    return len(log.read_text().splitlines())


def of_fax(payments: Payments, execution: str) -> tuple[str, str, int, int, list[str]]:
    """Return status, failure, deaths, attempts and terminal receipts of the execution that goes to the fax."""
    with psycopg.connect(payments.server.database_url) as database:
        row = database.execute(
            "SELECT status, failure, worker_deaths, attempts_made, ARRAY(SELECT kind FROM telemetry_receipt r "
            "WHERE r.execution_id = e.id AND r.kind IN ('execution.succeeded', 'execution.failed', "
            "'execution.outcome_unknown')) FROM integrations_execution e WHERE integration = 'int_fax'"
        ).fetchone()
    assert row is not None, execution
    return row
