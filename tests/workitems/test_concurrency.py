"""Concurrent requests: one succeeds, the others are refused, and nothing is lost or done twice."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest
from django.db import connection

from integrations.executions import lease as execution_lease
from integrations.models import Attempt, Execution
from telemetry.models import Receipt
from tests.client import Api
from tests.jobs import queued_jobs, run_jobs
from tests.races import after, rounds_until
from tests.receivers.fixtures import Receiver
from tests.workitems.office import ASKS_TWO, RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from workitems.api import batch_intake
from workitems.api.items import created_item
from workitems.executions.close_item import cancel_work_item, edit_payload
from workitems.executions.operator_actions import cancel_execution
from workitems.executions.re_evaluate import re_evaluate_step
from workitems.executions.run_execution import run_execution
from workitems.items import intake
from workitems.items.evidence import normalize_evidence
from workitems.items.locks import locked_step
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.steps.deadlines import expire_step
from workitems.tasks import decide_intake

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*operations: Callable[[], Any]) -> list[Any]:
    """Run all operations at the same time in threads. Return their results and errors."""
    ready = Barrier(len(operations))

    def run(operation: Callable[[], Any]) -> Any:
        try:
            ready.wait(20)
            return operation()
        except errors.ThreadaError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(operations)) as pool:
        return [future.result(60) for future in [pool.submit(run, operation) for operation in operations]]


def refused(results: Sequence[Any]) -> list[str]:
    return sorted(result.reason_code for result in results if isinstance(result, errors.ThreadaError))


def edit(item: WorkItem, *, ctx: ActingContext, amount: int) -> None:
    edit_payload(item, {"amount": amount}, ctx=ctx)


def jobs_of(execution: Execution) -> int:
    return sum(arguments.get("execution_id") == str(execution.id) for _, arguments in queued_jobs())


def test_two_simultaneous_last_votes_decide_once(office: Office) -> None:
    for _ in range(5):
        item, step, execution = office.awaiting()
        results = at_once(*(partial(office.vote, step, name) for name in ("fay", "finn", "fred")))
        assert refused(results) == ["step_closed"]
        assert (office.step(step).status, office.item(item).status) == ("approved", "executing")
        assert office.execution(execution).status == "started"
        assert jobs_of(execution) == 1
        assert office.kinds(item).count("execution.approved") == 1


def test_one_person_votes_twice_at_once(office: Office) -> None:
    _, step, _ = office.awaiting()
    results = at_once(*(lambda: office.vote(step, "fay") for _ in range(4)))
    assert refused(results) == ["already_voted"] * 3
    assert office.count(Vote) == 1


def test_simultaneous_approval_and_rejection_have_one_winner(office: Office) -> None:
    seen: set[str] = set()
    for early, late in rounds_until(seen):
        item, step, execution = office.awaiting()
        office.vote(step, "fay")
        results = at_once(
            after(early, partial(office.vote, step, "finn")), after(late, partial(office.vote, step, "fred", "reject"))
        )
        seen.add(office.step(step).status)
        assert refused(results) == ["step_closed"]
        ends = (office.step(step).status, office.item(item).status, office.execution(execution).status)
        assert ends in (("approved", "executing", "started"), ("rejected", "rejected", "rejected"))
        assert jobs_of(execution) == (ends[0] == "approved")


def test_last_vote_and_deadline_have_one_winner(office: Office) -> None:
    office.put_rules({**RULES[1], "approvals": {**ASKS_TWO, "expires_after": "PT1H"}}, *RULES[2:])

    def expire(step: DecisionStep) -> None:
        with unit_of_work(office.tenant.id):
            expire_step(
                *locked_step(step.id, ctx=office.system), now=clock.now() + timedelta(hours=2), ctx=office.system
            )

    seen: set[str] = set()
    for early, late in rounds_until(seen):
        item, step, execution = office.awaiting()
        office.vote(step, "fay")
        at_once(after(early, partial(office.vote, step, "finn")), after(late, partial(expire, step)))
        seen.add(office.step(step).status)
        ends = (office.step(step).status, office.item(item).status, office.execution(execution).status)
        assert ends in (("approved", "executing", "started"), ("expired", "expired", "expired"))
        assert jobs_of(execution) == (ends[0] == "approved")


@pytest.mark.parametrize("rival", ["edit", "cancel item", "cancel execution", "re-evaluation"])
def test_last_vote_and_another_change_have_one_winner(office: Office, rival: str) -> None:
    def compete(item: WorkItem, step: DecisionStep, execution: Execution) -> Any:
        match rival:
            case "edit":
                return office.on_item(item, edit, amount=501)
            case "cancel item":
                return office.on_item(item, cancel_work_item)
            case "cancel execution":
                return office.on_execution(execution, cancel_execution)
        with unit_of_work(office.tenant.id):
            return re_evaluate_step(*locked_step(step.id, ctx=office.system), ctx=office.system)

    seen: set[str] = set()
    for early, late in rounds_until(seen):
        item, step, execution = office.awaiting()
        office.vote(step, "fay")
        at_once(after(early, partial(office.vote, step, "finn")), after(late, partial(compete, item, step, execution)))
        seen.add(office.step(step).status)
        step_status, status = office.step(step).status, office.execution(execution).status
        shown = office.item(item).status
        assert (step_status, status, shown) in {
            ("approved", "started", "executing"),  # re-evaluation came too late
            ("approved", "cancelled", "new"),  # approved, then taken back before it was sent
            ("approved", "cancelled", "cancelled"),
            ("approved", "cancelled", "ready"),
            ("superseded", "cancelled", "new"),
            ("cancelled", "cancelled", "cancelled"),
            ("cancelled", "cancelled", "ready"),
            ("superseded", "awaiting_approval", "awaiting_approval"),
        }


def test_twenty_posts_with_one_key_make_one_execution(office: Office) -> None:
    item = office.decided()
    api = office.api("rita")
    body = {"work_item_id": item.public_id, "action_id": "pay", "integration_id": "bank"}
    answers = at_once(
        *(lambda: api.post("/actions/execute", body, headers={"Idempotency-Key": "one"}) for _ in range(20))
    )
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert {answer.json()["reason_code"] for answer in answers if answer.status_code != 202} <= {
        "idempotency_in_flight"
    }
    assert len({answer.json()["execution_id"] for answer in accepted}) == 1
    assert (office.count(Execution), len(queued_jobs())) == (1, 1)
    again = api.post("/actions/execute", body, headers={"Idempotency-Key": "one"})
    assert again.json()["execution_id"] == accepted[0].json()["execution_id"]


def test_twenty_posts_without_a_key_make_one_execution(office: Office) -> None:
    item = office.decided()
    results = at_once(*(lambda: office.execute(item) for _ in range(20)))
    assert refused(results) == ["execution_in_progress"] * 19
    assert office.count(Execution) == 1


def test_twenty_work_items_at_once_are_all_accepted(office: Office) -> None:
    before = office.count(Receipt)
    items = at_once(*(office.create for _ in range(20)))
    assert len({item.id for item in items}) == 20
    assert (office.count(WorkItem), office.count(Receipt)) == (20, before + 20)


@pytest.mark.parametrize("name", ["reference", "subject"])
def test_batches_that_name_the_same_in_other_orders_do_not_block_each_other(
    office: Office, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch waits after its first work item for the other one, which the locks keep from beginning."""
    schema = {"type": "object", "properties": {"customer": {"type": "string"}}}
    office.upsert_workflow(
        "orders", unique_external_ref=True, channel_required=False, payload_schema=schema, subject="/customer"
    )
    both = Barrier(2)

    def create(sent: Any, *, ctx: Any) -> Any:
        answer = created_item(sent, ctx=ctx)
        with suppress(BrokenBarrierError):
            both.wait(0.5)
        return answer

    monkeypatch.setattr(batch_intake, "created_item", create)

    def batch(mine: str, places: Sequence[int]) -> Any:
        numbered = {
            "reference": lambda place: {"external_ref": f"R-{place}", "payload": {"customer": f"{mine}-{place}"}},
            "subject": lambda place: {"external_ref": f"{mine}-{place}", "payload": {"customer": f"C-{place}"}},
        }[name]
        items = [{"workflow_id": "orders", **numbered(place)} for place in places]
        return Api(headers=office.api("rita").headers).post("/work-items/batch", {"work_items": items})

    office.api("rita")
    answers = at_once(lambda: batch("a", (1, 2)), lambda: batch("b", (2, 1)))
    assert [answer.status_code for answer in answers] == [200, 200]
    assert sum(answer.json()["created"] for answer in answers) == (2 if name == "reference" else 4)


def test_a_batch_and_a_single_work_item_that_cross_do_not_block_each_other(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The single one waits with its data subject, the batch with the reference of its first work item."""
    schema = {"type": "object", "properties": {"customer": {"type": "string"}}}
    office.upsert_workflow(
        "orders", unique_external_ref=True, channel_required=False, payload_schema=schema, subject="/customer"
    )
    both = Barrier(2)

    def wait_for_other() -> None:
        with suppress(BrokenBarrierError):
            both.wait(0.5)

    def create(sent: Any, *, ctx: Any) -> Any:
        answer = created_item(sent, ctx=ctx)
        wait_for_other()
        return answer

    def normalize(evidence: Any) -> Any:
        if evidence is not None:
            wait_for_other()
        return normalize_evidence(evidence)

    monkeypatch.setattr(batch_intake, "created_item", create)
    monkeypatch.setattr(intake, "normalize_evidence", normalize)

    def order(subject: int, reference: int, **more: Any) -> dict[str, Any]:
        return {
            "workflow_id": "orders",
            "external_ref": f"R-{reference}",
            "payload": {"customer": f"C-{subject}"},
            **more,
        }

    batch = {"work_items": [order(1, 1), order(2, 2)]}
    single = order(2, 1, evidence={"fallback_reason": "none"})
    headers = office.api("rita").headers
    answers = at_once(
        lambda: Api(headers=headers).post("/work-items/batch", batch),
        lambda: Api(headers=headers).post("/work-items", single),
    )
    created = answers[0].json()["created"]
    assert [answer.status_code for answer in answers] == [200, 409 if created == 2 else 201]


def test_the_intake_decision_is_taken_once(office: Office) -> None:
    item = office.create()
    arguments = (str(office.tenant.id), str(item.id), item.correlation_id)
    at_once(*(lambda: decide_intake(*arguments) for _ in range(4)), lambda: office.execute(item))
    assert office.kinds(item).count("policy.decided") == 2
    assert office.count(Execution) == 1


def test_several_workers_run_one_execution_once(office: Office, bank: Receiver) -> None:
    bank.behave(delay_s=0.3)
    execution = office.execute(office.decided()).execution
    at_once(*(lambda: run_execution(office.tenant, execution.id) for _ in range(6)))
    assert len(bank.requests()) == 1
    assert office.execution(execution).status == "succeeded"
    assert office.count(Attempt) == 1


def test_a_late_finisher_changes_nothing(office: Office, bank: Receiver) -> None:
    """The first worker's lease ran out while the receiver thought; another took over and ended it."""
    bank.behave(delay_s=1.0, times=1)
    execution = office.execute(office.decided()).execution

    def slow() -> None:
        run_execution(office.tenant, execution.id)

    def quick() -> None:
        bank.wait_for(1)
        office.set_execution(execution, lease_until=clock.now() - timedelta(seconds=1))
        run_execution(office.tenant, execution.id)
        office.set_execution(execution, next_try_at=None)
        run_execution(office.tenant, execution.id)

    at_once(slow, quick)
    shown = office.execution(execution)
    assert (shown.status, shown.attempts_made, shown.fencing_token, shown.worker_deaths) == ("succeeded", 2, 2, 1)
    with unit_of_work(office.tenant.id):
        rows = Attempt.objects.filter(execution=execution).order_by("number")
        assert [(row.outcome, row.failure) for row in rows] == [("failed", "worker_lost"), ("succeeded", "")]
    with unit_of_work(office.tenant.id):
        item = WorkItem.objects.get(id=execution.work_item_id)
    assert office.kinds(item).count("execution.succeeded") == 1
    assert len({call["headers"]["idempotency-key"] for call in bank.requests()}) == 1


def test_a_stolen_lease_is_not_renewed(office: Office) -> None:
    execution = office.execute(office.decided()).execution
    with unit_of_work(office.tenant.id):
        first = execution_lease.acquire_lease(
            Execution.objects.select_for_update().get(id=execution.id), now=clock.now()
        )
        Execution.objects.filter(id=execution.id).update(status="started")
        second = execution_lease.acquire_lease(
            Execution.objects.select_for_update().get(id=execution.id), now=clock.now()
        )
        assert execution_lease.renew_lease(first) is False
        assert execution_lease.renew_lease(second) is True


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_receiver_only_ever_sees_approved_bytes(office: Office, bank: Receiver, seed: int) -> None:
    """Votes, edits, executions and workers at random: whatever was called had been approved, as it was called."""
    rng = random.Random(seed)
    rounds = 25
    approved: set[str] = set()

    for number in range(rounds):
        amount = 1000 + 10 * number
        item, step, execution = office.awaiting(amount)
        operations: list[Callable[[], Any]] = [
            partial(office.vote, step, "fay"),
            partial(office.vote, step, "finn"),
            partial(office.execute, item),
            partial(run_execution, office.tenant, execution.id),
        ]
        if number % 3:  # every third case is left alone, so that something is approved however the races end
            operations.append(partial(office.on_item, item, edit, amount=amount + 5))
        rng.shuffle(operations)
        at_once(*operations)
        run_jobs()
        with unit_of_work(office.tenant.id):
            for row in DecisionStep.objects.filter(work_item=item, status="approved").select_related("envelope"):
                approvers = {vote.voter_id for vote in Vote.objects.filter(step=row, decision="approve", counted=True)}
                assert len(approvers) == 2
                approved.add(json.dumps(json.loads(bytes(row.envelope.body))["request"]["body"], separators=(",", ":")))
    sent = [call["body"] for call in bank.requests()]
    assert sent
    assert set(sent) <= approved
    assert len(sent) == len(set(sent))
