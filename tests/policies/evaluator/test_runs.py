"""Runs: one per tenant on the whole instance, kills as results, no waiting inside row locks."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psutil
import pytest
from django.db import connection, connections

from policies.configuration.workflows import upsert_workflow
from policies.deciding.decide import decide
from policies.documents.overlay import OverlayScope
from policies.documents.workflow import parse_workflow
from policies.drafts.edit import draft_policy_version
from policies.evaluator import pool as pools
from policies.evaluator import runs
from policies.evaluator.pool import EvaluatorPool, pool
from policies.evaluator.process import BrokenError, EvaluatorProcess, StoppedError
from policies.evaluator.runs import evaluator_run, unlocked_run
from policies.metrics import evaluator_metrics
from policies.models import PolicyReplay, PolicyVersion, ReplayFinding
from policies.publication.publish import publish_policy_version
from policies.replay.candidate import candidate_of
from policies.replay.request import ReplayRequest, request_replay
from policies.replay.run import run_replay
from policies.replay.shadow_run import run_shadow
from policies.replay.shadows import start_shadow
from policies.replay.simulate import simulate
from tests.factories import acting_system
from tests.policies.evaluator.slow import PAYLOAD, SCHEMA, slow_spec
from tests.policies.rulebooks import asking, put_in_force, put_payment_run, rule, spec
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import EvaluatorBusy, EvaluatorFailed, PolicyTestsFailed
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.rate_limits import leases

MOST_STOPPED = 2
NUMBERS_RUN = OverlayScope("workflow", "numbers")
GIVEN = {"item": {"workflow": "payment_run", "payload": {"vendor": "Hooli", "amount_minor": 5}}}
NUMBERS = {"item": {"workflow": "numbers", "payload": PAYLOAD}}
FAILING = {"given": {"item": {"payload": PAYLOAD}}, "expect": {"effect": "allow"}}


@pytest.fixture(autouse=True)
def _no_idle_evaluators() -> Iterator[None]:
    pool.end_all()
    yield
    pool.end_all()


@pytest.fixture
def book(work: ActingContext) -> ActingContext:
    put_payment_run(work)
    upsert_workflow("numbers", parse_workflow({"payload_schema": SCHEMA, "actions": ["pay"]}), ctx=work)
    return work


@pytest.fixture
def hurried(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop evaluations soon, and runs after few of them: each one stopped costs the start of a process."""
    settings.THREADA_EVALUATOR_CPU_MS = 50
    monkeypatch.setattr(runs, "MOST_STOPPED", MOST_STOPPED)


def evaluators() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "policies.evaluator.child" in " ".join(child.cmdline())]


@pytest.mark.usefixtures("hurried")
class TestKills:
    def test_a_simulation_names_the_rule(self, book: ActingContext) -> None:
        found = simulate(candidate_of("expensive", slow_spec()), NUMBERS, ctx=book)
        assert found.alone.outcome == "deny"
        assert found.alone.reason_codes == ("policy_too_slow",)
        (error,) = found.alone.errors
        assert error.policy == "expensive"
        assert error.rule.startswith("loop-")
        assert "used more than 0.05 s of processor time and was stopped" in error.message
        after = simulate(candidate_of("cheap", spec(rule("open", "allow"))), NUMBERS, ctx=book)
        assert after.alone.outcome == "allow"

    def test_rule_tests_name_the_rule_and_end(self, book: ActingContext) -> None:
        with pytest.raises(PolicyTestsFailed) as refused:
            draft_policy_version("expensive", slow_spec(tests=[FAILING] * (MOST_STOPPED + 3)), ctx=book)
        errors = refused.value.errors
        assert len(errors) == MOST_STOPPED
        assert {error.code for error in errors} == {"policy_too_slow"}
        assert errors[0].pointer == "/tests/0"
        assert "Rule loop-" in errors[0].detail

    def test_a_replay_fails_after_repeated_kills_and_keeps_its_findings(self, book: ActingContext) -> None:
        version = self.with_decisions(book, MOST_STOPPED + 3)
        replay = request_replay(version, ReplayRequest(), ctx=book, by_job=False)
        assert run_replay(replay.id, ctx=book)
        replay.refresh_from_db()
        assert (replay.status, replay.failure) == ("failed", "policy_too_slow")
        assert replay.not_replayable == MOST_STOPPED
        found = ReplayFinding.objects.filter(replay=replay).first()
        assert found is not None
        assert found.found["why"] == "too_slow"
        assert found.found["rules"][0].startswith("expensive/loop-")

    def test_a_shadow_ends_after_repeated_kills(self, book: ActingContext) -> None:
        version = self.with_decisions(book, 0)
        shadow = start_shadow(version, ends_at=clock.now() + timedelta(days=1), ctx=book)
        for _ in range(MOST_STOPPED + 2):
            decide(asking(workflow="numbers", payload=PAYLOAD), ctx=book)
        run_shadow(shadow.id, ctx=book)
        shadow.refresh_from_db()
        assert (shadow.status, shadow.not_replayable) == ("ended", MOST_STOPPED)

    @staticmethod
    def with_decisions(book: ActingContext, number: int) -> PolicyVersion:
        """Return an expensive draft of a policy with this many decisions."""
        put_in_force(spec(rule("open", "allow")), NUMBERS_RUN, ctx=book, policy="expensive")
        for _ in range(number):
            decide(asking(workflow="numbers", payload=PAYLOAD), ctx=book)
        return draft_policy_version("expensive", slow_spec(), ctx=book).row


def test_a_tenant_gets_its_own_process(book: ActingContext) -> None:
    simulate(candidate_of("payments", spec(rule("open", "allow"))), GIVEN, ctx=book)
    (first,) = evaluators()
    simulate(candidate_of("payments", spec(rule("open", "allow"))), GIVEN, ctx=book)
    assert evaluators() == [first]
    with unlocked_run(uuid.uuid4()) as run:
        run.verdict([], {"ctx": {"point": "intake"}}, {})
    assert len(evaluators()) == 2


def test_idle_processes_end(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(pools, "IDLE_SECONDS", 0.2)
    settings.THREADA_EVALUATORS = 2
    own = EvaluatorPool()
    tenant = uuid.uuid4()
    with own.reserved(tenant):
        own.keep(tenant, session := own.start(tenant))
    deadline = time.monotonic() + 20
    while session.process.is_running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not session.process.is_running


def test_the_pool_is_limited_and_ends_the_longest_idle(settings: Any) -> None:
    settings.THREADA_EVALUATORS = 2
    own = EvaluatorPool()
    first, second, third = (uuid.uuid4() for _ in range(3))
    sessions = {}
    for tenant in (first, second):
        with own.reserved(tenant):
            own.keep(tenant, sessions.setdefault(tenant, own.start(tenant)))
    with own.reserved(third) as session:
        assert session is None
        assert not sessions[first].process.is_running
        assert sessions[second].process.is_running
        with own.reserved(second), pytest.raises(EvaluatorBusy), own.reserved(first):
            pass
        with pytest.raises(EvaluatorBusy), own.reserved(third):
            pass
    own.end_all()
    sessions[second].process.end()


def test_a_process_that_cannot_start_is_a_typed_refusal(book: ActingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(EvaluatorFailed):
        simulate(candidate_of("payments", spec(rule("open", "allow"))), GIVEN, ctx=book)
    monkeypatch.undo()
    assert simulate(candidate_of("payments", spec(rule("open", "allow"))), GIVEN, ctx=book).alone.outcome == "allow"


def test_a_crash_denies_and_the_next_question_starts_another(
    book: ActingContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = EvaluatorProcess.ask
    crashes = [True]

    def crashing(self: EvaluatorProcess, message: Any) -> Any:
        if message["do"] == "evaluate" and crashes:
            crashes.pop()
            psutil.Process(self.pid).kill()
        return whole(self, message)

    monkeypatch.setattr(EvaluatorProcess, "ask", crashing)
    found = simulate(candidate_of("payments", spec(rule("open", "allow"))), GIVEN, ctx=book)
    assert (found.verdict.reason_codes, found.alone.outcome) == (("policy_error",), "allow")
    assert found.verdict.errors[0].message == "The evaluation failed: it ended with SIGKILL."
    again = simulate(candidate_of("payments", spec(rule("open", "allow"))), GIVEN, ctx=book)
    assert again.alone.outcome == "allow"


def test_results_of_tests_are_found_again_under_locks(book: ActingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    document = spec(rule("open", "allow"), tests=[{"expect": {"effect": "allow"}}])
    version = draft_policy_version("tested", document, ctx=book).row
    monkeypatch.setattr(EvaluatorProcess, "ask", None)
    assert publish_policy_version(version, ctx=book).status == "published"


@pytest.mark.django_db(transaction=True)
class TestOnePerTenant:
    def test_a_second_run_is_refused_and_another_tenant_is_not(self, tenant: Tenant, other_tenant: Tenant) -> None:
        ends, runs = threading.Event(), threading.Event()

        def occupy() -> None:
            try:
                with unit_of_work(tenant.id), evaluator_run(tenant.id):
                    runs.set()
                    ends.wait(30)
            finally:
                connections.close_all()

        thread = threading.Thread(target=occupy)
        thread.start()
        assert runs.wait(30)
        began = time.monotonic()
        with unit_of_work(tenant.id):
            for wait_ms in (0, 300):
                with pytest.raises(EvaluatorBusy) as refused, evaluator_run(tenant.id, wait_ms=wait_ms):
                    pass
            assert refused.value.headers == {"Retry-After": "1"}
            with connection.cursor() as cursor:  # the transaction still works
                cursor.execute("SELECT 1")
        assert 0.3 <= time.monotonic() - began < 10
        with unit_of_work(other_tenant.id), evaluator_run(other_tenant.id, wait_ms=0) as run:
            assert run.verdict([], {"ctx": {"point": "intake"}}, {}).reason_codes == ("policy_missing",)
        ctx = acting_system(tenant)
        with unit_of_work(tenant.id):
            put_payment_run(ctx)
            version = put_in_force(spec(rule("open", "allow")), ctx=ctx)
            replay = request_replay(version, ReplayRequest(), ctx=ctx, by_job=False)
        assert not run_replay(replay.id, ctx=ctx)
        with unit_of_work(tenant.id):
            assert PolicyReplay.objects.get(id=replay.id).status == "requested"
        ends.set()
        thread.join()
        assert run_replay(replay.id, ctx=ctx)


def test_events_are_counted_for_metrics(work: ActingContext) -> None:
    def counted() -> dict[tuple[str, ...], float]:
        leases.store()
        with platform_role():
            found = list(evaluator_metrics())
        return {(metric.name, *(value for _, value in metric.labels)): metric.value for metric in found}

    leases.clear()
    before = counted()
    with evaluator_run(work.tenant_id) as run:
        run._session().process.end()
        with pytest.raises(EvaluatorBusy), pool.reserved(work.tenant_id):
            pass
        run._note_stopped(StoppedError("payments", "slow"))
        run._note_broken(BrokenError("it ended"))
    now = counted()
    assert {key for key in now if now[key] > before[key]} == {
        ("threada_evaluators_started",),
        ("threada_evaluators_failed", "too_slow"),
        ("threada_evaluators_failed", "broken"),
        ("threada_evaluator_runs_refused",),
    }
