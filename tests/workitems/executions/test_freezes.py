"""Freezes: nothing in scope is sent, running executions are named, deadlines are extended, and lifting may need a second person."""

from __future__ import annotations

import io
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from integrations.executions.lease import Lease, acquire_lease
from integrations.freezes.scope import FreezeScope, frozen_since, moved
from integrations.models import Attempt, Execution, Freeze
from policies.models import Workflow
from tests.console.sign_in import sign_in
from tests.factories import acting_system
from tests.jobs import run_jobs
from tests.races import after, rounds_until
from tests.receivers.fixtures import Receiver
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.four_eyes import turn_on_four_eyes
from threada_site.identity.grants.object_grants import grant_scope_on
from threada_site.identity.owners import set_owner
from threada_site.kernel import clock, errors
from threada_site.kernel.context import EntryPoint, Scope
from threada_site.tenancy.four_eyes import FREEZE_FOUR_EYES
from threada_site.tenancy.models import Tenant
from workitems.executions.freeze_states import freeze_notices
from workitems.executions.freezes import lift_freeze, set_freeze
from workitems.executions.operator_actions import cancel_execution
from workitems.executions.run_execution import run_execution
from workitems.executions.running.calling import call_receiver
from workitems.explain.gather import explain_work_item
from workitems.models import DecisionStep
from workitems.steps.deadline_sweep import sweep_deadlines
from workitems.sweeps import enqueue_due_executions

SCOPES = [
    FreezeScope(),
    FreezeScope(workflow="payments"),
    FreezeScope(integration="bank"),
    FreezeScope(integration="bank", action="pay"),
]
ELSEWHERE = [
    FreezeScope(workflow="other"),
    FreezeScope(integration="desk"),
    FreezeScope(integration="desk", action="close"),
]
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def freeze(office: Office, scope: FreezeScope = SCOPES[0], by: str = "ada") -> Freeze:
    with unit_of_work(office.tenant.id):
        return set_freeze(scope, reason="The bank is on fire.", ctx=office.ctx(by)).freeze


def lift(office: Office, row: Freeze, by: str = "ada") -> Freeze:
    with unit_of_work(office.tenant.id):
        return lift_freeze(row.id, reason="It is out.", ctx=office.ctx(by))


def age(office: Office, row: Freeze, by: timedelta) -> None:
    with unit_of_work(office.tenant.id):
        Freeze.objects.filter(id=row.id).update(set_at=row.set_at - by)


@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_what_is_frozen_is_not_sent_until_it_is_lifted(office: Office, bank: Receiver, scope: FreezeScope) -> None:
    item = office.decided()
    execution = office.execute(item).execution
    row = freeze(office, scope)
    run_jobs()
    for _ in range(2):
        run_execution(office.tenant, execution.id)
    blocked = office.execution(execution)
    assert (blocked.status, blocked.blocked_by_freeze_id, blocked.attempts_made) == ("started", row.id, 0)
    assert blocked.blocked_at is not None
    assert (office.count(Attempt), bank.requests()) == (0, [])
    assert enqueue_due_executions(now=clock.now()) == 0
    assert office.kinds(item).count("execution.held") == 1
    lift(office, row)
    run_jobs()
    done = office.execution(execution)
    assert (done.status, done.blocked_by_freeze_id, done.blocked_at) == ("succeeded", None, None)
    assert len(bank.requests()) == 1
    assert office.kinds(item)[-5:] == [
        "execution.held",
        "execution.released",
        "policy.rechecked",
        "execution.executed",
        "execution.succeeded",
    ]


def test_its_page_names_only_executions_that_the_reader_may_read(office: Office, bank: Receiver) -> None:
    office.upsert_workflow("travel")
    office.join("reader", roles=())
    with unit_of_work(office.tenant.id):
        travel = Workflow.objects.get(slug="travel")
        grant_scope_on(office.people["reader"], Scope.WORKITEMS_READ, travel, ctx=office.system)
    row = freeze(office, FreezeScope())
    execution = office.execute(office.decided()).execution
    run_jobs()
    assert office.execution(execution).blocked_by_freeze_id == row.id
    page = f"/console/integrations/freeze/{row.public_id}/"
    assert execution.public_id in sign_in(office.people["wim"]).get(page).content.decode()
    assert execution.public_id not in sign_in(office.people["reader"]).get(page).content.decode()


@pytest.mark.parametrize("scope", ELSEWHERE, ids=str)
def test_what_is_not_in_its_scope_runs(office: Office, bank: Receiver, scope: FreezeScope) -> None:
    office.upsert_workflow("other")
    freeze(office, scope)
    execution = office.execute(office.decided()).execution
    run_jobs()
    assert office.execution(execution).status == "succeeded"


def test_freeze_of_another_tenant_blocks_nothing(office: Office, bank: Receiver, other_tenant: Tenant) -> None:
    from tests.factories import acting_system

    with unit_of_work(other_tenant.id):
        set_freeze(FreezeScope(), reason="Theirs", ctx=acting_system(other_tenant))
    execution = office.execute(office.decided()).execution
    run_jobs()
    assert office.execution(execution).status == "succeeded"


def test_it_names_what_can_no_longer_be_recalled(office: Office, bank: Receiver) -> None:
    running, waiting = (office.execute(office.decided()).execution for _ in range(2))
    with unit_of_work(office.tenant.id):
        acquire_lease(Execution.objects.select_for_update().get(id=running.id), now=clock.now())
        stopped = set_freeze(FreezeScope(), reason="Stop", ctx=office.ctx("ada"))
    assert [execution.id for execution in stopped.in_flight] == [running.id]
    (receipt,) = office.bodies("freeze.set")
    assert receipt["inputs"]["in_flight"] == [running.public_id]
    assert receipt["inputs"]["scope"] == {}
    assert "Stop" not in str(receipt)
    run_jobs()
    assert office.execution(waiting).blocked_by_freeze_id == stopped.freeze.id


def test_execution_blocked_by_a_freeze_can_be_cancelled_and_explained(office: Office, bank: Receiver) -> None:
    item = office.decided()
    execution = office.execute(item).execution
    row = freeze(office)
    run_jobs()
    with unit_of_work(office.tenant.id):
        found = explain_work_item(office.item(item), ctx=office.ctx("rita"))
    assert found.why == ["pay on bank is blocked by a freeze."]
    assert found.next == ["It starts when the freeze is lifted."]
    office.on_execution(execution, cancel_execution)
    lift(office, row)
    run_jobs()
    assert (office.execution(execution).status, bank.requests()) == ("cancelled", [])


def test_two_freezes_block_until_both_are_lifted(office: Office, bank: Receiver) -> None:
    execution = office.execute(office.decided()).execution
    first, second = freeze(office), freeze(office, SCOPES[2])
    run_jobs()
    lift(office, first)
    run_jobs()
    assert office.execution(execution).blocked_by_freeze_id == second.id
    assert bank.requests() == []
    lift(office, second)
    run_jobs()
    assert office.execution(execution).status == "succeeded"


def test_time_blocked_by_a_freeze_does_not_count_for_attempts(office: Office, bank: Receiver) -> None:
    office.put_bank(base_url=bank.url, retry={"deadline": "PT1M"})
    bank.behave(status=429, headers={"Retry-After": "1"}, times=1)
    execution = office.execute(office.decided()).execution
    run_execution(office.tenant, execution.id)
    row = freeze(office)
    office.set_execution(execution, next_try_at=None)
    run_execution(office.tenant, execution.id)
    earlier = clock.now() - HOUR
    office.set_execution(execution, tries_began_at=earlier, blocked_at=earlier + timedelta(seconds=30))
    lift(office, row)
    run_execution(office.tenant, execution.id)
    assert office.execution(execution).status == "succeeded"


# Deadlines


def waiting_step(office: Office, **deadlines: datetime) -> DecisionStep:
    _, step, _ = office.awaiting()
    office.set_step(step, **deadlines)
    return step


@pytest.mark.parametrize("scope", SCOPES, ids=str)
def test_a_frozen_step_is_not_swept_and_its_deadline_moves(office: Office, scope: FreezeScope) -> None:
    now = clock.now()
    step = waiting_step(office, expires_at=now - timedelta(minutes=10), opened_at=now - 9 * HOUR)
    row = freeze(office, scope)
    age(office, row, HOUR)
    assert sweep_deadlines(now=now) == {}
    assert office.step(step).status == "pending"
    office.vote(step, "fay")
    lifted = lift(office, row)
    assert lifted.lifted_at is not None
    length = lifted.lifted_at - (row.set_at - HOUR)
    after = office.step(step)
    assert after.expires_at == now - timedelta(minutes=10) + length
    assert sweep_deadlines(now=clock.now()) == {}
    assert sweep_deadlines(now=after.expires_at) == {"done": 1}
    assert office.step(step).status == "expired"
    (receipt,) = office.bodies("decision_step.deadlines_moved")
    assert receipt["inputs"]["freeze_id"] == row.public_id
    (receipt,) = office.bodies("freeze.lifted")
    assert receipt["inputs"]["decision_steps_moved"] == 1


def test_deadlines_after_the_freeze_stay(office: Office) -> None:
    later = clock.now() + HOUR
    step = waiting_step(office, expires_at=later, remind_at=later)
    row = freeze(office)
    age(office, row, HOUR)
    lift(office, row)
    assert (office.step(step).expires_at, office.step(step).remind_at) == (later, later)
    assert office.bodies("decision_step.deadlines_moved") == []


@pytest.mark.parametrize("scope", ELSEWHERE, ids=str)
def test_a_step_that_is_not_in_scope_is_swept(office: Office, scope: FreezeScope) -> None:
    office.upsert_workflow("other")
    step = waiting_step(office, expires_at=clock.now() - timedelta(minutes=1))
    freeze(office, scope)
    assert sweep_deadlines(now=clock.now()) == {"done": 1}
    assert office.step(step).status == "expired"


def test_overlapping_freezes_give_back_the_whole_time(office: Office) -> None:
    now = clock.now()
    step = waiting_step(office, expires_at=now - 3 * HOUR, opened_at=now - 9 * HOUR)
    first, second = freeze(office), freeze(office, SCOPES[1])
    age(office, first, 4 * HOUR)
    age(office, second, 2 * HOUR)
    lift(office, first)
    assert office.step(step).expires_at == now - 3 * HOUR
    lifted = lift(office, second)
    assert lifted.lifted_at is not None
    assert office.step(step).expires_at == now - 3 * HOUR + (lifted.lifted_at - (first.set_at - 4 * HOUR))


def test_freeze_of_a_workflow_stops_deadlines_of_its_intake_steps(office: Office) -> None:
    item = office.decided(confidence=0.5)
    step = office.pending_step(item)
    office.set_step(step, expires_at=clock.now() - timedelta(minutes=1))
    freeze(office, SCOPES[1])
    assert sweep_deadlines(now=clock.now()) == {}
    assert office.step(step).status == "pending"


def test_a_freeze_of_an_agent_stops_deadlines_of_its_requests_only(office: Office) -> None:
    office.join("bot", kind="agent")
    now = clock.now()
    passed = {"expires_at": now - timedelta(minutes=10), "opened_at": now - 9 * HOUR}
    own = office.execute(office.decided(500, by="bot"), by="bot").step
    assert own is not None
    office.set_step(own, **passed)
    other = waiting_step(office, **passed)
    row = freeze(office, FreezeScope(principal="bot"))
    age(office, row, HOUR)
    assert sweep_deadlines(now=now) == {"done": 1}
    assert (office.step(own).status, office.step(other).status) == ("pending", "expired")
    [notice] = freeze_notices([row])
    assert "Frozen: requests of bot" in notice
    lift(office, row)
    assert office.step(own).expires_at > now


def test_deadlines_are_extended_by_the_frozen_time() -> None:
    assert frozen_since([], NOON) == NOON
    assert frozen_since([(NOON - HOUR, NOON)], NOON) == NOON - HOUR
    chain = [(NOON - 3 * HOUR, NOON - HOUR), (NOON - 2 * HOUR, NOON), (NOON - 9 * HOUR, NOON - 8 * HOUR)]
    assert frozen_since(chain, NOON) == NOON - 3 * HOUR
    terms = {"since": NOON - 2 * HOUR, "until": NOON, "opened_at": NOON - 9 * HOUR}
    assert moved(NOON - HOUR, **terms) == NOON + HOUR
    assert moved(NOON - 3 * HOUR, **terms) == NOON - 3 * HOUR
    assert moved(NOON + HOUR, **terms) == NOON + HOUR
    assert moved(None, **terms) is None
    assert moved(NOON - HOUR / 2, **{**terms, "opened_at": NOON - HOUR}) == NOON + HOUR / 2


# Who may


def test_what_is_refused_changes_nothing(office: Office) -> None:
    refusals: list[tuple[FreezeScope, str, str, type[Exception]]] = [
        (FreezeScope(), "rita", "Why not", errors.PermissionDenied),
        (FreezeScope(workflow="nowhere"), "ada", "Why", errors.UnknownWorkflow),
        (FreezeScope(integration="nowhere"), "ada", "Why", errors.UnknownIntegration),
        (FreezeScope(integration="bank", action="nothing"), "ada", "Why", errors.UnknownAction),
        (FreezeScope(), "ada", " ", errors.InvalidRequest),
    ]
    for scope, by, reason, refusal in refusals:
        with pytest.raises(refusal), unit_of_work(office.tenant.id):
            set_freeze(scope, reason=reason, ctx=office.ctx(by))
    assert (office.count(Freeze), office.bodies("freeze.set")) == (0, [])
    for bad in ({"action": "pay"}, {"workflow": "payments", "integration": "bank"}):
        with pytest.raises(ValueError, match="name"):
            FreezeScope(**bad)
        with (
            pytest.raises(IntegrityError, match=r"freeze_scope_(known|single)"),
            unit_of_work(office.tenant.id),
            transaction.atomic(),
        ):
            Freeze.objects.create(tenant_id=office.tenant.id, reason="x", **bad)


def test_four_eyes_apply_to_lifting_a_freeze(office: Office, bank: Receiver) -> None:
    office.join("amy", roles=("tenant_admin",))
    office.join("bot", kind="agent", roles=("tenant_admin",))
    with unit_of_work(office.tenant.id):
        turn_on_four_eyes(FREEZE_FOUR_EYES, ctx=office.ctx("ada"))
    row = freeze(office, by="ada")
    for name in ("ada", "bot"):
        with pytest.raises(errors.SecondPersonRequired):
            lift(office, row, by=name)
    with pytest.raises(errors.SecondPersonRequired), unit_of_work(office.tenant.id):
        lift_freeze(row.id, ctx=office.system)
    with pytest.raises(errors.PermissionDenied):
        lift(office, row, by="vera")
    with unit_of_work(office.tenant.id):
        assert Freeze.objects.get(id=row.id).lifted_at is None
    lift(office, row, by="amy")
    with pytest.raises(errors.FreezeLifted):
        lift(office, row, by="amy")


def test_two_accounts_of_one_person_do_not_lift_a_freeze_under_four_eyes(office: Office, bank: Receiver) -> None:
    """The puppet is controlled by ada; the service is owned by ada."""
    office.join("puppet", roles=("tenant_admin",))
    office.depend("puppet", on="ada")
    office.join("robo", kind="service", roles=("tenant_admin",))
    with unit_of_work(office.tenant.id):
        set_owner(office.people["robo"], "ada", ctx=office.system)
        turn_on_four_eyes(FREEZE_FOUR_EYES, ctx=office.ctx("ada"))
    for setter, lifter in (("ada", "puppet"), ("puppet", "ada"), ("robo", "ada"), ("robo", "puppet")):
        with pytest.raises(errors.SecondPersonRequired):
            lift(office, freeze(office, by=setter), by=lifter)
    answer = office.api("puppet").post(f"/freezes/{freeze(office, by='ada').public_id}/lift", {})
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "second_person_required")


@pytest.mark.parametrize("kind", ["service", "agent"])
def test_a_freeze_of_a_person_is_lifted_by_a_person(office: Office, bank: Receiver, kind: str) -> None:
    office.join("robo", kind=kind, roles=("tenant_admin",))
    command = acting_system(office.tenant, EntryPoint.COMMAND)
    row = freeze(office, by="ada")
    with pytest.raises(errors.PersonRequired):
        lift(office, row, by="robo")
    answer = office.api("robo").post(f"/freezes/{row.public_id}/lift", {})
    assert (answer.status_code, answer.json()["reason_code"]) == (403, "person_required")
    with unit_of_work(office.tenant.id), pytest.raises(errors.PersonRequired):
        lift_freeze(row.id, ctx=command)
    lift(office, row, by="ada")
    lift(office, freeze(office, by="robo"), by="robo")
    with unit_of_work(office.tenant.id):
        of_operator = set_freeze(SCOPES[0], reason="Stop.", ctx=command).freeze
    with pytest.raises(errors.PersonRequired):
        lift(office, of_operator, by="robo")
    with unit_of_work(office.tenant.id):
        lift_freeze(of_operator.id, ctx=command)


def test_api_sets_and_lifts_a_freeze(office: Office, bank: Receiver) -> None:
    office.join("olga", roles=("operator",))
    execution = office.execute(office.decided()).execution
    body = {"scope": {"integration": "bank"}, "reason": "Stop"}
    answer = office.api("olga").post("/freezes", body)
    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert (made["scope"], made["in_force"], made["in_flight"], made["held"]) == ({"integration": "bank"}, True, [], [])
    run_jobs()
    shown = office.api("ada").get(f"/freezes/{made['freeze_id']}").json()
    assert shown["held"] == [execution.public_id]
    assert (
        office.api("ada").get(f"/executions/{execution.public_id}").json()["blocked_by_freeze_id"] == made["freeze_id"]
    )
    assert [row["freeze_id"] for row in office.api("ada").get("/freezes?in_force=true").json()["data"]] == [
        made["freeze_id"]
    ]
    refused = office.api("olga").post(f"/freezes/{made['freeze_id']}/lift", {})
    assert (refused.status_code, refused.json()["reason_code"]) == (403, "scope_missing")
    lifted = office.api("ada").post(f"/freezes/{made['freeze_id']}/lift", {})
    assert (lifted.status_code, lifted.json()["in_force"]) == (200, False)
    again = office.api("ada").post(f"/freezes/{made['freeze_id']}/lift", {})
    assert (again.status_code, again.json()["reason_code"]) == (409, "freeze_lifted")
    bad = office.api("ada").post("/freezes", {"scope": {"action": "pay"}, "reason": "Stop"})
    assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, "/scope")
    run_jobs()
    assert office.execution(execution).status == "succeeded"


def test_command_sets_and_lifts_a_freeze(office: Office, bank: Receiver) -> None:
    execution = office.execute(office.decided()).execution

    def command(*words: str) -> list[str]:
        out = io.StringIO()
        call_command(*words, "--tenant", office.tenant.slug, stdout=out)
        return out.getvalue().splitlines()

    (freeze_id,) = command("freeze", "set", "--integration", "bank", "--action", "pay", "--reason", "Stop")
    run_jobs()
    assert office.execution(execution).blocked_by_freeze_id is not None
    (line,) = command("freeze", "list")
    assert line.startswith(f"{freeze_id} in force since ")
    assert line.endswith(": pay on bank (Stop)")
    assert command("freeze", "lift", "--freeze", freeze_id) == [freeze_id]
    again = command("freeze", "set", "--workflow", "payments", "--reason", "Again")
    assert command("four_eyes", "require", "--rule", "freeze_four_eyes") == ["freeze_four_eyes: on"]
    with pytest.raises(SystemExit):
        command("freeze", "lift", "--freeze", again[0])
    with unit_of_work(office.tenant.id):
        lift_freeze(Freeze.objects.get(lifted_at=None).id, ctx=office.ctx("ada"))
    run_jobs()
    assert office.execution(execution).status == "succeeded"
    assert [body["actor"]["entry_point"] for body in office.bodies("freeze.set")] == ["command"] * 2


@pytest.mark.django_db(transaction=True)
def test_lease_and_freeze_exclude_each_other(office: Office, bank: Receiver) -> None:
    """While a lease is being acquired a freeze waits for it, then names it as in flight: always exactly one of the two."""
    outcomes: set[bool] = set()
    for early, late in rounds_until(outcomes):
        execution = office.execute(office.decided()).execution
        found: dict[str, Any] = {}
        threads = [
            threading.Thread(
                target=_closing, args=(after(early, partial(run_execution, office.tenant, execution.id)),)
            ),
            threading.Thread(
                target=_closing, args=(after(late, lambda seen=found: seen.update(stopped=_stop(office))),)
            ),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        stopped = found["stopped"]
        shown = office.execution(execution)
        was_sent = shown.attempts_made == 1
        outcomes.add(was_sent)
        assert was_sent == (shown.status == "succeeded")
        assert (shown.blocked_by_freeze_id == stopped.freeze.id) == (not was_sent)
        if not was_sent:
            assert stopped.in_flight == []
        lift(office, stopped.freeze)
        run_jobs()


@pytest.mark.django_db(transaction=True)
def test_a_freeze_waits_for_a_lease_that_is_being_acquired(
    office: Office, bank: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = office.execute(office.decided()).execution
    acquired, may_commit, frozen = threading.Event(), threading.Event(), threading.Event()
    found: dict[str, Any] = {}

    def acquire(row: Execution, *, now: datetime) -> Lease:
        lease = acquire_lease(row, now=now)
        acquired.set()
        assert may_commit.wait(20)
        return lease

    def stop() -> None:
        found["stopped"] = _stop(office)
        frozen.set()

    def call(*plan: Any) -> Any:
        assert frozen.wait(20)  # so that the execution still runs when the freeze reads what is in flight
        return call_receiver(*plan)

    monkeypatch.setattr("workitems.executions.run_execution.acquire_lease", acquire)
    monkeypatch.setattr("workitems.executions.run_execution.call_receiver", call)
    runs = threading.Thread(target=_closing, args=(partial(run_execution, office.tenant, execution.id),))
    stops = threading.Thread(target=_closing, args=(stop,))
    runs.start()
    assert acquired.wait(20)
    stops.start()
    try:
        assert not frozen.wait(0.5)
    finally:
        may_commit.set()
        for thread in (runs, stops):
            thread.join(20)
    assert [row.id for row in found["stopped"].in_flight] == [execution.id]


def _stop(office: Office) -> Any:
    with unit_of_work(office.tenant.id):
        return set_freeze(FreezeScope(), reason="Race", ctx=office.ctx("ada"))


def _closing(operation: Any) -> None:
    try:
        operation()
    finally:
        connection.close()
