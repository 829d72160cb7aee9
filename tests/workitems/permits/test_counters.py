"""Counters of permits that SQL in a request resets: used units stay used."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import Office
from tests.workitems.permits.test_approval_receipts import named, run_as_web
from tests.workitems.permits.test_permits import ask, finance, in_effect, on_permit
from tests.workitems.retention.archives import aged, dry_run, put_rule, run, seal_all
from threada_site.database.unit_of_work import unit_of_work
from workitems.executions.run_execution import run_execution
from workitems.models import Permit, PermitUse
from workitems.permits.approval_receipts import stated_approvals
from workitems.permits.counters import has_unit_left
from workitems.permits.narrow import Narrowing, narrow_permit, revoke_permit
from workitems.permits.records import limits_of

__all__ = ["finance"]

pytestmark = pytest.mark.django_db

RESET = "UPDATE workitems_permit SET used_count = 0, used_sum = 0 WHERE id = %s"


def test_reset_counters_return_no_unit(finance: Office) -> None:
    permit = in_effect(finance, max_count=1)
    assert ask(finance)[2]
    assert named(finance, permit.id) == []
    run_as_web(finance, RESET, [permit.id])
    assert not ask(finance)[2]
    assert named(finance, permit.id) == [f"{permit.public_id}: Its counters are less than its uses."]


def test_a_reset_sum_returns_nothing(finance: Office) -> None:
    permit = in_effect(finance)
    for _ in range(2):
        assert ask(finance, 900)[2]
    run_as_web(finance, RESET, [permit.id])
    assert not ask(finance, 900)[2], "the sum is 2000"
    assert ask(finance, 200)[2]


def test_a_returned_unit_without_its_receipt_stays_used(finance: Office) -> None:
    permit = in_effect(finance, max_count=1)
    assert ask(finance)[2]
    run_as_web(finance, RESET, [permit.id])
    run_as_web(finance, "UPDATE workitems_permituse SET returned_at = now() WHERE permit_id = %s", [permit.id])
    assert not ask(finance)[2]
    assert any("permit.returned" in message for message in named(finance, permit.id))


def test_a_reserved_unit_beyond_the_number_is_not_called(finance: Office, bank: Receiver) -> None:
    """SQL returned another unit after both were reserved: the permit was narrowed to one."""
    permit = in_effect(finance, max_count=2)
    executions = [ask(finance)[1] for _ in range(2)]
    on_permit(finance, permit, narrow_permit, Narrowing(max_count=1))
    run_as_web(
        finance,
        "UPDATE workitems_permituse SET returned_at = now() WHERE permit_id = %s AND execution_id = %s",
        [permit.id, executions[1].id],
    )
    run_as_web(finance, "UPDATE workitems_permit SET used_count = 1, used_sum = 500 WHERE id = %s", [permit.id])
    run_execution(finance.tenant, executions[0].id)
    assert finance.execution(executions[0]).status == "awaiting_approval"
    assert bank.requests() == []


def test_a_use_is_compared_with_three_statements(finance: Office) -> None:
    """One for the approvals, one for the receipts of both cases, one for the uses, however many there are."""
    permit = in_effect(finance)
    for _ in range(2):
        execution = ask(finance)[1]
    with unit_of_work(finance.tenant.id):
        use = PermitUse.objects.get(execution_id=execution.id)
        execution.envelope  # noqa: B018
        stored = Permit.objects.get(id=permit.id)
        with CaptureQueriesContext(connection) as captured:
            assert has_unit_left(stored, limits_of(stored), use.amount, own=use)
            assert len(stated_approvals(stored, used_by=execution)) == 2
    assert len(captured) == 3


def test_a_case_stays_while_the_permit_that_it_used_is_in_effect(finance: Office, bank: Receiver) -> None:
    permit = in_effect(finance)
    used, _, covered = ask(finance)
    assert covered
    run_jobs()
    put_rule(finance, keep_payload="P1D", keep_receipts="P9D", then="delete")
    for _ in range(2):
        aged(finance, used, days=100)
        seal_all(finance)
        dry_run(finance)
        run(finance)
    assert finance.count(PermitUse) == 1
    on_permit(finance, permit, revoke_permit)
    aged(finance, used, days=100)
    seal_all(finance)
    dry_run(finance)
    run(finance)
    assert finance.count(PermitUse) == 0
