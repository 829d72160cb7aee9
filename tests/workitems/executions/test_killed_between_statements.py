"""A worker that ends between any two statements of a set makes no second call and loses no execution."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from tests.jobs import lose_all_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import Office
from threada_site.kernel import clock
from workitems.executions.running.call_slots import call_slots
from workitems.executions.running.run_set import run_set

pytestmark = [pytest.mark.adversarial, pytest.mark.django_db(transaction=True)]

MEMBERS = 2


class Ended(BaseException):
    """The worker is gone: nothing that it would do next happens."""


class Ending:
    """Lets `statements` statements and commits through, in all threads, and none afterwards."""

    def __init__(self, statements: int) -> None:
        self._left = statements
        self.is_over = False

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for owner, name in ((CursorWrapper, "execute"), (BaseDatabaseWrapper, "_commit")):
            monkeypatch.setattr(owner, name, self._counting(getattr(owner, name)))

    def _counting(self, operation: Any) -> Any:
        def counted(*arguments: Any, **more: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                self.is_over = True
                raise Ended
            return operation(*arguments, **more)

        return counted


def test_no_member_is_called_twice_or_lost(office: Office, bank: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    office.put_bank(base_url=bank.url, idempotent=False)
    ended, statements = Counter[str](), 0
    while True:
        runs = [office.execute(office.decided()).execution for _ in range(MEMBERS)]
        ending = Ending(statements)
        with monkeypatch.context() as patched:
            ending.patch(patched)
            with suppress(Ended):
                run_set(office.tenant, runs[0].id)
        connection.close()
        if not ending.is_over:
            break
        lose_all_jobs()
        ended.update(_ended_later(office, run) for run in runs)
        assert call_slots.take(1000) == 32, statements
        call_slots.give_back(32)
        statements += 1
    calls = Counter(entry["headers"]["idempotency-key"] for entry in bank.requests())
    assert set(calls.values()) == {1}
    assert set(ended) == {"succeeded", "outcome_unknown worker_lost"}
    assert statements > 20
    assert {office.execution(run).status for run in runs} == {"succeeded"}


def _ended_later(office: Office, run: Execution) -> str:
    """Let another worker find the execution when its lease has expired. Return how it ended."""
    found = office.execution(run)
    if found.status == ExecutionStatus.RUNNING:
        office.set_execution(run, lease_until=clock.now() - timedelta(seconds=1))
    if found.status in (ExecutionStatus.RUNNING, ExecutionStatus.STARTED):
        run_set(office.tenant, run.id)
    found = office.execution(run)
    return f"{found.status} {found.failure}".strip()
