"""Requests, narrowing and revocation at the same moment, on connections of their own."""

from __future__ import annotations

from functools import partial

import pytest

from tests.workitems.office import Office
from tests.workitems.permits.test_permits import ask, finance, in_effect, now, on_permit
from tests.workitems.test_concurrency import at_once
from threada_site.database.unit_of_work import unit_of_work
from workitems.executions.run_execution import run_execution
from workitems.models import PermitUse
from workitems.permits.narrow import revoke_permit

__all__ = ["finance"]

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
ROUNDS = 6


def test_of_concurrent_uses_of_the_last_unit_exactly_one_succeeds(finance: Office) -> None:
    for _ in range(ROUNDS):
        permit = in_effect(finance, max_count=1)
        outcomes = at_once(*[partial(ask, finance)] * 3)
        assert sorted(covered for _, _, covered in outcomes) == [False, False, True]
        assert (now(finance, permit).used_count, now(finance, permit).used_sum) == (1, 500)
        with unit_of_work(finance.tenant.id):
            assert PermitUse.objects.filter(permit=permit).count() == 1


def test_a_use_and_a_revocation_at_once_leave_one_order(finance: Office) -> None:
    for _ in range(ROUNDS):
        permit = in_effect(finance)
        (_, execution, covered), _ = at_once(partial(ask, finance), partial(on_permit, finance, permit, revoke_permit))
        assert now(finance, permit).status == "revoked"
        assert now(finance, permit).used_count == int(covered)
        assert (finance.execution(execution).permit_id == permit.id) is covered


def test_executions_that_lose_a_permit_at_once_wait_for_no_other(finance: Office) -> None:
    for _ in range(2):
        permit = in_effect(finance)
        executions = [ask(finance)[1] for _ in range(3)]
        on_permit(finance, permit, revoke_permit)
        at_once(*[partial(run_execution, finance.tenant, execution.id) for execution in executions])
        assert {finance.execution(execution).status for execution in executions} == {"awaiting_approval"}
        assert now(finance, permit).used_count == 0
