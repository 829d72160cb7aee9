"""A vote and its deadline at the same moment, on two machines: always one winner, one receipt, and a typed refusal.

`THREADA_RACES` says how often they are fired together; 1,000 take some minutes on two cores. Which of them starts a
little later follows from a seed that is printed; `THREADA_SEED` gives one.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

import pytest
from pytest_django import Settings

from telemetry.models import Receipt
from tests.workitems.executions.test_race_for_the_call import a_little_later
from tests.workitems.office import RULES, Office
from tests.workitems.test_concurrency import at_once
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from workitems.models import Notice, PendingApproverKey, Vote
from workitems.steps.deadline_sweep import sweep_deadlines

RACES: Final = int(os.environ.get("THREADA_RACES", "60"))
SEED: Final = int(os.environ.get("THREADA_SEED") or random.SystemRandom().randrange(2**32))

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(3600)]


def test_one_winner_one_receipt_and_a_typed_409(
    office: Office, record_property: Callable[[str, object], None], settings: Settings
) -> None:
    settings.THREADA_REFUSAL_RECEIPTS = RACES  # each has a receipt; none is only counted
    office.put_rules({**RULES[1], "approvals": {"role": "finance", "expires_after": "PT1H"}}, *RULES[2:])
    winners: Counter[str] = Counter()
    print(f"seed {SEED}; again with THREADA_SEED={SEED}")
    rng = random.Random(SEED)
    for number in range(RACES):
        item, step, execution = office.awaiting()
        decision: dict[str, Any] = {"decision": "approve", "envelope_sha256": step.envelope_sha256}
        if number % 2:
            decision |= {"decision": "reject", "reason_code": "WRONG"}
        sweep = partial(sweep_deadlines, now=clock.now() + timedelta(hours=2))
        vote = partial(office.api("fay").post, f"/decision-steps/{step.public_id}/votes", decision)
        answer, *swept = at_once(*(a_little_later(rng, operation) for operation in (vote, sweep, sweep)))

        status = office.step(step).status
        winners[status] += 1
        with unit_of_work(office.tenant.id):
            kinds = Counter(Receipt.objects.filter(work_item_id=item.id).values_list("kind", flat=True))
            told = list(Notice.objects.filter(step=step, kind="decided").values_list("facts__status", flat=True))
            votes = Vote.objects.filter(step=step).count()
            assert not PendingApproverKey.objects.filter(step=step).exists()
        ends = {kind: kinds[f"decision_step.{kind}"] for kind in ("approved", "rejected", "expired")}
        assert ends == {kind: int(kind == status) for kind in ends}
        assert told == [status]
        assert sum(outcome["failed"] for outcome in swept) == 0
        if status == "expired":
            assert (answer.status_code, answer.json()["reason_code"]) == (409, "step_closed")
            assert (votes, kinds["request.refused"], kinds["vote.recorded"]) == (0, 1, 0)
            assert (office.item(item).status, office.execution(execution).status) == ("expired", "expired")
        else:
            assert (answer.status_code, answer.json()["step_status"]) == (201, status)
            assert (votes, kinds["request.refused"], kinds["vote.recorded"]) == (1, 0, 1)
            assert office.execution(execution).status == ("rejected" if number % 2 else "started")
    print(dict(winners))
    record_property("winners", dict(winners))
    assert sum(winners.values()) == RACES
    assert winners.keys() == {"approved", "rejected", "expired"}
