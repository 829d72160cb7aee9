"""Dashboard: pending decisions, counts by status, recent intake. Every metric is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from integrations.lifecycle import EXECUTION, ExecutionStatus
from telemetry.selectors import sealing_alarms
from threada_site.admin.html import list_url
from threada_site.admin.notices import policy_notices, second_factor_notices, visibility_notices
from threada_site.database.router import read_connection
from threada_site.identity.change_sets.permissions import waiting_for
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext, Scope
from workitems import selectors
from workitems.items.questions import question_of
from workitems.lifecycle import WORK_ITEM, WorkItemStatus
from workitems.models import DecisionStep

CAP: Final = 1000
"""Upper bound of each count; larger counts are shown as "1000+"."""
STUCK: Final = "nobody_can_decide"
DAYS: Final = 14
WAITING_SHOWN: Final = 8


@dataclass(frozen=True)
class DashboardMetric:
    """Number with a link."""

    label: str
    value: str
    url: str
    tone: str


@dataclass(frozen=True)
class Bar:
    """Bar of one day, in drawing units."""

    day: str
    url: str
    count: int
    x: float
    y: float
    height: float


def dashboard(ctx: ActingContext) -> dict[str, Any]:
    """Return the context of the dashboard, in at most ten statements."""
    alarms = sealing_alarms(ctx)
    if not ctx.has_scope_anywhere(Scope.WORKITEMS_READ):
        return {"alarms": alarms, "metrics": [], "waiting": [], "chart": None}
    rows = selectors.work_items(ctx)
    stuck = {STUCK: rows.filter(nobody_can_decide=True)}
    items = _capped(_by_status(rows, [s for s in WorkItemStatus if WORK_ITEM.is_open(s)]) | stuck)
    run_states = [*(s for s in ExecutionStatus if EXECUTION.is_open(s)), "failed"]
    runs = _capped(_by_status(selectors.executions(ctx), run_states))
    waiting = _waiting(ctx)
    return {
        "alarms": alarms,
        "notices": [
            *_change_set_notices(ctx),
            *second_factor_notices(ctx),
            *policy_notices(ctx),
            *visibility_notices(ctx),
        ],
        "metrics": [
            *(
                _dashboard_metric("workitems.workitem", status, items)
                for status in WorkItemStatus
                if WORK_ITEM.is_open(status)
            ),
            _dashboard_metric("integrations.execution", ExecutionStatus.OUTCOME_UNKNOWN, runs),
            *([_dashboard_metric("workitems.workitem", STUCK, items, query=f"{STUCK}=true")] if items[STUCK] else []),
        ],
        "waiting": waiting[:WAITING_SHOWN],
        "waiting_more": len(waiting) > WAITING_SHOWN,
        "decisions_url": reverse("admin:workitems_decisionstep_desk"),
        "queue_url": list_url("workitems.workitem"),
        "chart": _chart(ctx),
        "is_empty": not any(items.values()) and not waiting,
    }


def _change_set_notices(ctx: ActingContext) -> list[SafeString]:
    """Return a line with the change sets that `ctx` may publish."""
    waiting = waiting_for(ctx)
    if not waiting:
        return []
    said = (
        "1 change set waits for a second person."
        if len(waiting) == 1
        else f"{len(waiting)} change sets wait for a second person."
    )
    address = list_url("tenancy.changeset")
    return [format_html('<a class="t-link" href="{}?status=proposed">{}</a>', address, said)]


def _dashboard_metric(model: str, status: Any, counted: dict[str, int], *, query: str = "") -> DashboardMetric:
    count = counted.get(status, 0)
    return DashboardMetric(
        label=status.replace("_", " "),
        value=f"{CAP}+" if count > CAP else str(count),
        url=f"{list_url(model)}?{query or f'status={status}'}",
        tone="bad" if status in ("failed", "outcome_unknown", STUCK) and count else "plain",
    )


def _by_status(rows: QuerySet[Any], statuses: list[Any]) -> dict[str, QuerySet[Any]]:
    return {str(status): rows.filter(status=status) for status in statuses}


def _capped(wanted: dict[str, QuerySet[Any]]) -> dict[str, int]:
    """Return the number of rows of each kind, up to CAP + 1, by index scans."""
    parts: list[str] = []
    parameters: list[Any] = []
    for name, rows in wanted.items():
        some, values = rows.order_by("-id").values("id")[: CAP + 1].query.sql_with_params()
        parts.append(f"SELECT %s, (SELECT count(*) FROM ({some}) AS found)")
        parameters += [name, *values]
    with read_connection().cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), parameters)
        return dict(cursor.fetchall())


def _waiting(ctx: ActingContext) -> list[tuple[DecisionStep, str, str]]:
    """Return the most urgent steps that `ctx` can decide, with question and work item id."""
    if not ctx.has_scope_anywhere(Scope.DECISIONS_DECIDE):
        return []
    waiting = selectors.steps_pending_for(ctx, selectors.decision_steps(ctx))
    steps = waiting.select_related("execution").order_by("urgent_at", "id")[: WAITING_SHOWN + 1]
    return [(step, question_of(step), ids.public_id(ids.WORK_ITEM, step.work_item_id)) for step in steps]


def _chart(ctx: ActingContext) -> dict[str, Any]:
    """Return the work items received on each of the last 14 days (UTC), up to CAP each."""
    today = datetime.combine(clock.now().date(), time(), UTC)
    days = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    parts: list[str] = []
    parameters: list[Any] = []
    for day in days:
        window = selectors.work_items(ctx).filter(
            id__gte=ids.first_id_at(day), id__lt=ids.first_id_at(day + timedelta(days=1))
        )
        some, values = window.values("id")[: CAP + 1].query.sql_with_params()
        parts.append(f"SELECT %s, (SELECT count(*) FROM ({some}) AS found)")
        parameters += [day.date().isoformat(), *values]
    with read_connection().cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), parameters)
        counts: dict[str, int] = dict(cursor.fetchall())
    most = max(counts.values(), default=0)
    bars = []
    for place, (date, count) in enumerate(sorted(counts.items())):
        height = 0 if not most else max(round(100 * count / most, 1), 2.0 if count else 0)
        url = f"{list_url('workitems.workitem')}?created_after={date}&created_before={date}"
        bars.append(Bar(date, url, count, x=place * 20 + 3, y=round(100 - height, 1), height=height))
    return {"bars": bars, "most": f"{CAP}+" if most > CAP else most, "total_is_zero": not most, "width": DAYS * 20}
