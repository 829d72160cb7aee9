"""Journeys with a worker in its own process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.journeys.demo import BANK_TOKEN, LARGE, SMALL, Demo
from tests.journeys.worker import running_worker, start_worker
from tests.receivers.fixtures import Receiver

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def worker(demo: Demo, bank: Receiver) -> Iterator[None]:
    with running_worker(BANK_TOKEN=BANK_TOKEN, THREADA_EGRESS_ALLOW="127.0.0.1/32"):
        yield


def eventually(look: Callable[[], object], expected: object, *, timeout_s: float = 60) -> None:
    ends = time.monotonic() + timeout_s
    while (seen := look()) != expected:
        assert time.monotonic() < ends, f"still {seen!r}, not {expected!r}"
        time.sleep(0.1)


@pytest.mark.walk
@pytest.mark.adversarial
def test_a_worker_is_killed_in_the_middle_of_a_call(demo: Demo, bank: Receiver) -> None:
    """Check that another worker takes over after the lease; the bank deduplicates."""
    bank.behave(delay_s=8, dedupe=True)
    environment = {"BANK_TOKEN": BANK_TOKEN, "THREADA_EGRESS_ALLOW": "127.0.0.1/32"}
    item = demo.hand_in(SMALL)
    execution = demo.execute(item).json()["execution_id"]
    first = start_worker(**environment)
    try:
        bank.wait_for(1, timeout_s=60)
    finally:
        first.kill()
        first.wait()
    with running_worker(**environment):
        eventually(lambda: demo.item(item)["status"], "resolved", timeout_s=90)
    shown = demo.execution(execution)
    assert [attempt["failure"] for attempt in shown["attempts"]] == ["worker_lost", None]
    assert [call["effect"] for call in bank.requests()] == [True, False]
    assert {call["headers"]["idempotency-key"] for call in bank.requests()} == {execution}
    demo.check_receipts()


def test_the_worker_decides_calls_and_tries_again(demo: Demo, bank: Receiver, worker: None) -> None:
    item = demo.hand_in(LARGE)
    eventually(lambda: demo.item(item)["status"], "ready")
    execution = demo.execute(item).json()["execution_id"]
    step = demo.step_of(item)
    assert demo.vote("finance-1", step).status_code == 201
    assert demo.vote("finance-2", step).json()["work_item_status"] == "executing"
    eventually(lambda: demo.item(item)["status"], "resolved")
    (call,) = bank.requests()
    assert call["headers"]["authorization"] == f"Bearer {BANK_TOKEN}"
    assert call["headers"]["idempotency-key"] == execution

    bank.behave(status=500, times=2)  # the payment above was the first
    second = demo.hand_in(SMALL)
    execution = demo.execute(second).json()["execution_id"]
    eventually(lambda: demo.item(second)["status"], "resolved")
    assert demo.execution(execution)["attempts_made"] == 2
    assert len(bank.requests()) == 3
    demo.check_receipts()
