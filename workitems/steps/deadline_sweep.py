"""Sweep over the deadlines of all tenants. Several machines may run it at once: every row is locked.

Tenants take turns, so the backlog of one tenant does not delay the others. After a failure a step is skipped for a
growing period, so it does not delay other steps.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import structlog
from django.db import connection
from django.db.models import F

from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import system_context
from workitems.models import DecisionStep, WorkItem
from workitems.steps.deadlines import act_on_deadlines

BATCH: Final = 200
PER_TENANT: Final = 50
ENOUGH_SECONDS: Final = 4.0
LONGEST_BACKOFF: Final = timedelta(hours=1)
_FIRST_BACKOFF: Final = timedelta(seconds=10)

_DUE: Final = """
    SELECT t.id, t.slug, d.id
      FROM tenancy_tenant t
     CROSS JOIN LATERAL (
           SELECT s.id, s.next_due_at, row_number() OVER (ORDER BY s.next_due_at, s.id) AS turn
             FROM (SELECT id, next_due_at FROM workitems_decisionstep d
                    WHERE tenant_id = t.id AND status = 'pending' AND next_due_at <= %s AND NOT id = ANY(%s)
                      AND NOT EXISTS (SELECT FROM integrations_freeze f WHERE f.tenant_id = t.id
                          AND f.lifted_at IS NULL AND f.workflow IN ('', d.workflow)
                          AND (f.integration = '' AND f.principal = ''
                               OR EXISTS (SELECT FROM integrations_execution e
                                   WHERE e.id = d.execution_id AND f.integration IN ('', e.integration)
                                     AND f.action IN ('', e.action) AND (f.principal_id IS NULL
                                         OR f.principal_id = e.requested_by AND NOT e.is_timed_undo))))
                    ORDER BY next_due_at, id LIMIT %s) s) d
     ORDER BY d.turn, d.next_due_at
     LIMIT %s
"""

log = structlog.get_logger("threada.sweeps")


@dataclass(frozen=True, slots=True)
class Due:
    """Step with a passed deadline."""

    tenant_id: uuid.UUID
    tenant_slug: str
    step_id: uuid.UUID


type Outcome = Literal["done", "locked", "failed"]


def sweep_deadlines(*, now: datetime) -> Counter[Outcome]:
    """Remind, escalate and expire the steps that are due at `now`, for at most a few seconds.

    The next sweep continues. Steps locked by another transaction (a vote, another sweep) are skipped.
    """
    started = time.monotonic()
    outcomes: Counter[Outcome] = Counter()
    seen: list[uuid.UUID] = []
    while time.monotonic() - started < ENOUGH_SECONDS:
        batch = due_steps(now=now, but=seen)
        for due in batch:
            outcomes[_deal_with(due, now=now)] += 1
        seen += [due.step_id for due in batch]
        if len(batch) < BATCH:
            break
    return outcomes


def due_steps(*, now: datetime, but: list[uuid.UUID] | None = None) -> list[Due]:
    """Return steps with a passed deadline, interleaved by tenant: the longest overdue step of each tenant first."""
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(_DUE, [now, but or [], PER_TENANT, BATCH])
        return [Due(*row) for row in cursor.fetchall()]


def _deal_with(due: Due, *, now: datetime) -> Outcome:
    """Process one step in its own transaction."""
    ctx = system_context(tenant_id=due.tenant_id, tenant_slug=due.tenant_slug, correlation_id=uuid.uuid4().hex)
    try:
        with unit_of_work(due.tenant_id):
            found = _locked(due)
            if found is None:
                return "locked"
            act_on_deadlines(*found, now=now, ctx=ctx)
            return "done"
    except Exception:  # a failure of one step must not stop the others
        log.exception("deadline_failed", step=str(due.step_id))
    with unit_of_work(due.tenant_id):
        _back_off(due, now=now)
    return "failed"


def _locked(due: Due) -> tuple[WorkItem, DecisionStep] | None:
    """Lock the item, then the step, as every service does. Return None if either is locked elsewhere."""
    steps = DecisionStep.objects.filter(tenant_id=due.tenant_id, id=due.step_id)
    item = (
        WorkItem.objects.select_for_update(of=("self",), skip_locked=True)
        .filter(tenant_id=due.tenant_id, id__in=steps.values("work_item_id"))
        .select_related("workflow_version", "requester")
        .first()
    )
    if item is None:
        return None
    step = steps.select_for_update(of=("self",), skip_locked=True).select_related("envelope").first()
    return None if step is None else (item, step)


def _back_off(due: Due, *, now: datetime) -> None:
    steps = DecisionStep.objects.filter(tenant_id=due.tenant_id, id=due.step_id)
    failures = steps.values_list("sweep_failures", flat=True).first() or 0
    backoff = min(_FIRST_BACKOFF * 2 ** min(failures, 12), LONGEST_BACKOFF)
    steps.update(sweep_failures=F("sweep_failures") + 1, sweep_after=now + backoff)
