"""Between a change of the rules (or of an integration) and the new decision about open steps, nothing slips through."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from threading import Event
from typing import Any

import pytest
from django.db import connection

from policies.drafts.edit import draft_policy_version
from policies.models import Policy, PolicyVersion
from policies.publication.publish import publish_policy_version, retire_policy_version
from tests.jobs import queued_jobs, run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import ASKS_TWO, RULES, Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from workitems.models import DecisionStep, Vote

pytestmark = pytest.mark.django_db

ASKS_VERA_TOO = {**RULES[1], "approvals": {"all": [ASKS_TWO["all"][0], {"role": "approver", "count": 3}]}}


def publish(office: Office, *rules: dict[str, Any], applies_to_open: bool = True) -> PolicyVersion:
    with unit_of_work(office.tenant.id):
        draft = draft_policy_version("rules", {"rules": list(rules)}, ctx=office.system).row
        return publish_policy_version(draft, ctx=office.system, applies_to_open=applies_to_open)


def stricter(office: Office) -> Any:
    return publish(office, ASKS_VERA_TOO, *RULES[2:])


def retire(office: Office) -> Any:
    with unit_of_work(office.tenant.id):
        return retire_policy_version(Policy.objects.select_related("in_force").get().in_force, ctx=office.system)


def move_bank(office: Office) -> Any:
    return office.put_bank(base_url="http://127.0.0.1:10")


CHANGES = {"replaced": stricter, "retired": retire, "integration": move_bank}


@pytest.mark.parametrize("change", CHANGES)
def test_no_vote_is_taken_until_the_step_is_re_evaluated(office: Office, bank: Receiver, change: str) -> None:
    item, step, execution = office.awaiting()
    office.vote(step, "fay")
    CHANGES[change](office)
    told, jobs = office.kinds(item), len(queued_jobs())
    for decision in ("approve", "reject"):
        with pytest.raises(errors.StepClosed, match="again"):
            office.vote(step, "finn", decision)
    assert (office.kinds(item), len(queued_jobs()), office.count(Vote)) == (told, jobs, 1)
    assert (office.step(step).status, office.execution(execution).status) == ("pending", "awaiting_approval")
    run_jobs()
    assert office.step(step).status == "superseded"
    assert bank.requests() == []


def test_a_newer_version_that_leaves_open_steps_alone_takes_their_votes(office: Office) -> None:
    item, step, _ = office.awaiting()
    publish(office, ASKS_VERA_TOO, *RULES[2:], applies_to_open=False)
    office.vote(step, "fay")
    office.vote(step, "finn")
    assert office.item(item).status == "executing"


def test_a_version_is_superseded_once(office: Office) -> None:
    first = stricter(office)
    publish(office, *RULES)
    publish(office, RULES[3])
    with unit_of_work(office.tenant.id):
        rows = list(PolicyVersion.objects.order_by("number"))
    assert [row.superseded_at is not None for row in rows] == [True, True, True, False]
    assert rows[1].superseded_at == rows[2].published_at
    assert first.superseded_at is None


class PausedTransaction:
    """An action in a transaction of its own, in a thread of its own, that is done and not committed yet."""

    def __init__(
        self, pool: ThreadPoolExecutor, open_unit: Callable[[], AbstractContextManager[Any]], operation: Any
    ) -> None:
        self.done, self.commit = Event(), Event()

        def run() -> Any:
            try:
                with open_unit():
                    result = operation()
                    self.done.set()
                    assert self.commit.wait(30)
                return result
            finally:
                self.done.set()
                connection.close()

        self.future: Future[Any] = pool.submit(run)
        assert self.done.wait(30)


def in_thread(pool: ThreadPoolExecutor, operation: Callable[[], Any]) -> Future[Any]:
    def run() -> Any:
        try:
            return operation()
        except errors.ThreadaError as error:
            return error
        finally:
            connection.close()

    return pool.submit(run)


def is_done_soon(future: Future[Any], *, seconds: float = 0.4) -> bool:
    """Return True if the future ends within `seconds` although another transaction is open."""
    try:
        future.result(seconds)
    except TimeoutError:
        return False
    return True


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", CHANGES)
def test_the_change_waits_for_a_vote_that_is_being_cast(office: Office, change: str) -> None:
    _, step, execution = office.awaiting()
    office.vote(step, "fay")
    with ThreadPoolExecutor(2) as pool:
        vote = PausedTransaction(pool, partial(unit_of_work, office.tenant.id), partial(office.vote, step, "finn"))
        changed = in_thread(pool, partial(CHANGES[change], office))
        assert not is_done_soon(changed)
        vote.commit.set()
        vote.future.result(30)
        changed.result(30)
    assert (office.step(step).status, office.execution(execution).status) == ("approved", "started")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", CHANGES)
def test_a_vote_waits_for_a_change_that_is_being_made_and_is_refused(office: Office, change: str) -> None:
    _, step, execution = office.awaiting()
    office.vote(step, "fay")
    with ThreadPoolExecutor(2) as pool:
        changed = PausedTransaction(pool, partial(unit_of_work, office.tenant.id), partial(CHANGES[change], office))
        voting = in_thread(pool, partial(office.vote, step, "finn"))
        assert not is_done_soon(voting)
        changed.commit.set()
        changed.future.result(30)
        assert isinstance(voting.result(30), errors.StepClosed)
    assert (office.step(step).status, office.execution(execution).status) == ("pending", "awaiting_approval")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", CHANGES)
def test_a_step_opened_while_the_rules_change_is_re_evaluated(office: Office, change: str) -> None:
    """The job that decides open steps again runs before the step is there to be seen."""
    item = office.decided(500)
    with ThreadPoolExecutor(2) as pool:
        changed = PausedTransaction(pool, partial(unit_of_work, office.tenant.id), partial(CHANGES[change], office))
        executing = in_thread(pool, partial(office.execute, item))
        assert not is_done_soon(executing)
        changed.commit.set()
        changed.future.result(30)
        started = executing.result(30)
    assert sum(name.startswith("workitems.re_evaluate_for_") for name, _ in queued_jobs()) == 2
    run_jobs()
    with unit_of_work(office.tenant.id):
        steps = list(DecisionStep.objects.filter(work_item=item).order_by("id"))
    assert steps[0].id == started.step.id
    assert steps[0].status == "superseded"
    if change != "retired":  # with nothing in force the action is refused
        assert steps[1].status == "pending"
        assert steps[1].envelope_sha256 != steps[0].envelope_sha256


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", ["vote", "publish"])
def test_publishing_and_voting_at_the_same_moment_keep_the_version_that_the_step_pins(
    office: Office, first: str
) -> None:
    """Neither waits for the other; the step is decided by what it was opened under, the next item by what is new."""
    _, step, execution = office.awaiting()
    pinned = office.step(step).policy_version_ids
    office.vote(step, "fay")
    operations: dict[str, Callable[[], Any]] = {
        "vote": partial(office.vote, step, "finn"),
        "publish": partial(publish, office, ASKS_VERA_TOO, *RULES[2:], applies_to_open=False),
    }
    with ThreadPoolExecutor(2) as pool:
        paused = PausedTransaction(pool, partial(unit_of_work, office.tenant.id), operations.pop(first))
        (other,) = (in_thread(pool, operation) for operation in operations.values())
        assert is_done_soon(other, seconds=30)
        paused.commit.set()
        assert not [error for error in (paused.future.result(30), other.result(30)) if isinstance(error, Exception)]
    assert (office.step(step).status, office.execution(execution).status) == ("approved", "started")
    assert office.step(step).policy_version_ids == pinned
    with unit_of_work(office.tenant.id):
        assert Policy.objects.get().in_force_id not in pinned
