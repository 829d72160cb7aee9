"""Health of integrations, derived from rows. No call is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import QuerySet

from integrations.configuration.parsed_documents import document_of
from integrations.documents.model import UNBOUNDED, Limits
from integrations.freezes.block import freezes_in_force
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution, Integration, IntegrationGauge
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError

LOOKED_AT: Final = 500
"""Number of the tenant's newest executions that are evaluated."""
MOST: Final = 1000
"""Upper limit of counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Health of one integration. Counts of ended executions cover the tenant's last 500.

    `state`: `well`, `failing` (failures in a row), `resting` (the breaker is open), `probing` (one call tests the
    receiver) or `frozen`.
    """

    slug: str
    state: str
    limits: Limits
    failures_in_a_row: int
    waits_until: datetime | None
    waits_for: str
    running: int
    waiting: int
    succeeded: int
    failed: int
    unknown: int
    last_failure: str


def health_of(integrations: Iterable[Integration], *, now: datetime, ctx: ActingContext) -> list[Health]:
    """Return the health of each integration in the given order: a constant number of statements, and two short counts
    each. Counts include the executions of all cases."""
    require_unit_of_work(ctx.tenant_id)
    rows = list(integrations)
    gauges = {gauge.integration_id: gauge for gauge in IntegrationGauge.objects.filter(tenant_id=ctx.tenant_id)}
    in_force = freezes_in_force(ctx.tenant_id)
    frozen = {row.integration for row in in_force if not (row.workflow or row.action or row.principal)}
    ended = Execution.objects.filter(tenant_id=ctx.tenant_id).order_by("-id")
    ends = list(ended.values_list("integration", "status", "failure")[:LOOKED_AT])
    counted = Counter((slug, status) for slug, status, _ in ends)
    failures: dict[str, str] = {}
    for slug, _, failure in ends:
        if failure:
            failures.setdefault(slug, failure)
    return [_health(row, gauges.get(row.id), frozen, counted, failures, now=now) for row in rows]


def _health(
    row: Integration,
    gauge: IntegrationGauge | None,
    frozen: set[str],
    counted: Counter[tuple[str, str]],
    failures: dict[str, str],
    *,
    now: datetime,
) -> Health:
    waits_until = gauge.waits_until if gauge and gauge.waits_until and gauge.waits_until > now else None
    mine = Execution.objects.filter(tenant_id=row.tenant_id, integration=row.slug)
    return Health(
        slug=row.slug,
        state="frozen" if frozen & {"", row.slug} else _state(gauge, now),
        limits=_limits(row),
        failures_in_a_row=gauge.failures if gauge else 0,
        waits_until=waits_until,
        waits_for=gauge.waits_for if gauge and waits_until else "",
        running=_capped(mine.filter(status=ExecutionStatus.RUNNING)),
        waiting=_capped(
            mine.filter(status=ExecutionStatus.STARTED, dispatched_at__isnull=True, blocked_by_freeze__isnull=True)
        ),
        succeeded=counted[row.slug, ExecutionStatus.SUCCEEDED],
        failed=counted[row.slug, ExecutionStatus.FAILED],
        unknown=counted[row.slug, ExecutionStatus.OUTCOME_UNKNOWN],
        last_failure=failures.get(row.slug, ""),
    )


def _state(gauge: IntegrationGauge | None, now: datetime) -> str:
    if gauge is None or (gauge.opened_at is None and not gauge.failures):
        return "well"
    if gauge.opened_at is None:
        return "failing"
    return "resting" if gauge.open_until and gauge.open_until > now else "probing"


def _limits(row: Integration) -> Limits:
    try:
        return document_of(row.current_version).limits if row.current_version else UNBOUNDED
    except ThreadaError:
        return UNBOUNDED


def _capped(rows: QuerySet[Execution]) -> int:
    return len(rows.order_by().values_list("id")[: MOST + 1])
