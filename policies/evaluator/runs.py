"""One evaluation run of a tenant: at most one at a time on the whole instance, and none inside another's locks.

The run belongs to the open transaction: an advisory lock keyed by the tenant is held until it ends. Callers take row
locks after the run, not before it.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import OperationalError, connection, transaction

from policies.evaluator.pool import BUSY, note, pool
from policies.evaluator.process import BrokenError, StoppedError
from policies.evaluator.sessions import SentList, Session
from policies.language.evaluation import RulebookEntry, RuleError, Verdict, denied, engine_failure
from policies.language.rule_tests import tests_take_too_long
from policies.language.rules import PolicyDocument
from threada_site.kernel.errors import EvaluatorBusy, EvaluatorFailed, FieldError
from threada_site.tenancy.rate_limits import leases

MOST_STOPPED: Final = 5
"""Kills after which a run evaluates nothing more."""
WAIT_MS: Final = 2000
"""Time for which a request waits for another run of its tenant."""
NO_TENANT: Final = uuid.UUID(int=0)
_TRY: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended('threada-evaluator ' || %s, 0))"
_WAIT: Final = "SELECT pg_advisory_xact_lock(hashtextextended('threada-evaluator ' || %s, 0))"

log = structlog.get_logger("threada.evaluator")
_waits = threading.Semaphore(1)
"""Requests of this process that may wait at the same time, so that others keep their threads."""


class EvaluatorRun:
    """Evaluations of one tenant. A rule that is killed is a verdict, and the next question starts another process."""

    def __init__(self, tenant_id: uuid.UUID, session: Session | None, stopped: int = 0) -> None:
        self._tenant_id = tenant_id
        self.session = session
        self.stopped = stopped
        self._broken = 0

    @property
    def is_exhausted(self) -> bool:
        """Return True if so many rules were killed that the run must end."""
        return self.stopped >= MOST_STOPPED

    def verdict(
        self, entries: Sequence[RulebookEntry], facts: Mapping[str, Any], lists: Mapping[str, SentList]
    ) -> Verdict:
        """Return the verdict of `entries` for facts without lists, like `policies.language.evaluation.evaluate`.

        A killed evaluation denies with `policy_too_slow`, a crash with `policy_error`. Raises `EvaluatorFailed`.
        """
        try:
            return self._session().verdict(entries, facts, lists)
        except StoppedError as error:
            return denied("policy_too_slow", RuleError(error.policy, error.rule, self._note_stopped(error)))
        except BrokenError as error:
            self._note_broken(error)
            return engine_failure(error.reason)

    def test_errors(self, document: PolicyDocument, lists: Mapping[str, SentList]) -> list[FieldError]:
        """Return one error for every failing test, like `policies.language.rule_tests.run_tests`."""
        loaded: tuple[Session, int, Mapping[str, SentList]] | None = None
        found: list[FieldError] = []
        for test in document.tests:
            try:
                session = self._session()
                if loaded is None or loaded[0] is not session:
                    key, read = session.load_tested(document.rules)
                    chosen = {name: sent for name, sent in lists.items() if read is None or name in read}
                    loaded = session, key, chosen
                failure, is_used_up = session.test_failure(loaded[1], test, policy=document.id or "", lists=loaded[2])
            except StoppedError as error:
                found.append(FieldError(test.pointer, self._note_stopped(error), "policy_too_slow"))
                if self.is_exhausted:
                    return found
            except BrokenError as error:
                self._note_broken(error)
                raise EvaluatorFailed from None
            else:
                if is_used_up:
                    return [*found, tests_take_too_long(test)]
                if failure is not None:
                    found.append(FieldError(test.pointer, failure, "test_failed"))
        return found

    def _session(self) -> Session:
        if self.session is None or not self.session.process.is_running:
            try:
                self.session = pool.start(self._tenant_id)
            except BrokenError as error:
                note("not_started")
                log.error("evaluator_not_started", reason=error.reason)  # noqa: TRY400 - an outcome, not a defect
                raise EvaluatorFailed(headers=BUSY) from None
        return self.session

    def _note_stopped(self, error: StoppedError) -> str:
        self.stopped += 1
        self.session = None
        note("stopped")
        seconds = settings.THREADA_EVALUATOR_CPU_MS / 1000
        log.warning(
            "evaluator_stopped", tenant_id=str(self._tenant_id), policy=error.policy, rule=error.rule, seconds=seconds
        )
        named = f"Rule {error.rule} of {error.policy}" if error.policy else f"Rule {error.rule or '(unknown)'}"
        return f"{named} used more than {seconds:g} s of processor time and was stopped."

    def _note_broken(self, error: BrokenError) -> None:
        self._broken += 1
        self.session = None
        note("broken")
        log.warning(
            "evaluator_broken",
            tenant_id=str(self._tenant_id),
            reason=error.reason,
            policy=error.policy,
            rule=error.rule,
        )
        if self._broken >= MOST_STOPPED:
            raise EvaluatorFailed from None


@contextmanager
def evaluator_run(tenant_id: uuid.UUID, *, wait_ms: int = WAIT_MS, stopped: int = 0) -> Iterator[EvaluatorRun]:
    """Run evaluations of a tenant inside the open transaction. Raises `EvaluatorBusy` if another run of it goes on.

    With `wait_ms=0` it does not wait for the other run. `stopped` is the number of kills in earlier runs of one job.
    """
    lock_evaluator(tenant_id, wait_ms=wait_ms)
    transaction.on_commit(leases.store)
    with unlocked_run(tenant_id, stopped=stopped) as run:
        yield run


@contextmanager
def unlocked_run(tenant_id: uuid.UUID = NO_TENANT, *, stopped: int = 0) -> Iterator[EvaluatorRun]:
    """Run evaluations without a database, for commands that have no tenant."""
    with pool.reserved(tenant_id) as session:
        run = EvaluatorRun(tenant_id, session, stopped)
        try:
            yield run
        except BaseException:
            if run.session is not None:
                run.session.process.end()  # it may be in the middle of an answer
            raise
        if run.session is not None:
            pool.keep(tenant_id, run.session)


def lock_evaluator(tenant_id: uuid.UUID, *, wait_ms: int = WAIT_MS) -> None:
    """Lock the evaluator of a tenant until the open transaction ends. Raises `EvaluatorBusy`.

    Requests with untried rules do this before they read their body: parsing and checking rules costs as much as a
    short evaluation. A transaction may lock it again.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TRY, [str(tenant_id)])
        if cursor.fetchone()[0]:
            return
    if not wait_ms or not _waits.acquire(blocking=False):
        note("busy")
        raise EvaluatorBusy(headers=BUSY)
    note("waited")
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = {int(wait_ms)}")
            cursor.execute(_WAIT, [str(tenant_id)])
            cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    except OperationalError:
        note("busy")
        raise EvaluatorBusy(headers=BUSY) from None
    finally:
        _waits.release()
