"""Approve ‖ edit ‖ execute, round after round against a real receiver: it only ever sees approved bytes.

`THREADA_RACE_ROUNDS` says how many rounds (40 unless set); 500 take minutes. The order and the pauses of a run follow
from its seed, which it prints; `THREADA_SEED` gives one.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import orjson
import pytest

from integrations.models import Execution
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.executions.test_amend_input import change
from tests.workitems.office import Office
from tests.workitems.test_concurrency import at_once, edit
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.json.canonical import canonical_bytes
from workitems.executions.run_execution import run_execution
from workitems.models import DecisionStep, Vote, WorkItem

ROUNDS: Final = int(os.environ.get("THREADA_RACE_ROUNDS", "40"))
SEED: Final = int(os.environ.get("THREADA_SEED") or random.SystemRandom().randrange(2**32))


def a_little_later(rng: random.Random, operation: Callable[[], Any]) -> Callable[[], Any]:
    """Begun within a few milliseconds, so that the interleavings vary; which one comes about decides nothing here."""
    pause = rng.random() * 0.012

    def late() -> Any:
        time.sleep(pause)
        return operation()

    return late


def approved_bodies(office: Office, item: WorkItem) -> list[str]:
    """Return the contents of the envelopes that two voters approved, each by the hash of the envelope."""
    found = []
    with unit_of_work(office.tenant.id):
        for step in DecisionStep.objects.filter(work_item=item, status="approved").select_related("envelope"):
            votes = Vote.objects.filter(step=step, decision="approve", counted=True)
            assert {vote.envelope_sha256 for vote in votes} == {step.envelope.sha256}
            assert len({vote.voter_id for vote in votes}) == 2
            found.append(canonical_bytes(orjson.loads(bytes(step.envelope.body))["request"]["body"]).decode())
    return found


def decide_what_is_left(office: Office, item: WorkItem) -> None:
    """Two people approve what the race left pending, if anything."""
    with unit_of_work(office.tenant.id):
        step = DecisionStep.objects.filter(work_item=item, status="pending").first()
    for name in ("fay", "finn", "fred"):
        if step is not None and office.step(step).status == "pending":
            try:
                office.vote(step, name)
            except errors.AlreadyVoted:
                continue


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.django_db(transaction=True)
def test_only_approved_bytes_ever_arrive(office: Office, bank: Receiver) -> None:
    print(f"seed {SEED}; again with THREADA_SEED={SEED}")
    rng = random.Random(SEED)
    ends: Counter[str] = Counter()
    sent_before = 0
    for number in range(ROUNDS):
        amount = 1000 + 10 * number
        item, step, execution = office.awaiting(amount)
        operations: list[Callable[[], Any]] = [
            partial(office.vote, step, "fay"),
            partial(office.vote, step, "finn"),
            partial(change, office, step, "fred", payload={"amount": amount + 1}),
            partial(run_execution, office.tenant, execution.id),
            partial(run_execution, office.tenant, execution.id),
        ]
        if number % 2:
            operations.append(partial(office.on_item, item, edit, amount=amount + 2))
            operations.append(partial(office.execute, item))
        rng.shuffle(operations)
        results = at_once(*(a_little_later(rng, operation) for operation in operations))
        ends.update(result.reason_code for result in results if isinstance(result, errors.ThreadaError))
        run_jobs()
        decide_what_is_left(office, item)
        run_jobs()
        approved = approved_bodies(office, item)
        sent = [call["body"] for call in bank.requests()[sent_before:]]
        sent_before += len(sent)
        assert set(sent) <= set(approved), (number, sent, approved)
        assert len(sent) == len(set(sent)) <= 1, (number, sent)
        ends[f"sent +{orjson.loads(sent[0])['amount'] - amount}" if sent else "nothing sent"] += 1
        with unit_of_work(office.tenant.id):
            assert not Execution.objects.filter(work_item_id=item.id, failure="envelope_mismatch").exists()
    print(dict(ends))
    keys = [call["headers"]["idempotency-key"] for call in bank.requests()]
    assert len(keys) == len(set(keys)) == sent_before
    assert sum(end.startswith("sent +") for end in ends) >= 2, "one contents won every round"
    assert sent_before >= ROUNDS // 2  # without a cancellation, something is approved in every outcome
