"""`/console/pulse`: what changed on an open page, read in one statement under the visibility rules.

A page asks every few seconds while it is visible. The answer contains ids, statuses and digests of rows that the reader
may read, never texts. Without a change it is 304. Asking does not extend the idle limit of the session.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, JsonResponse, QueryDict

from integrations.freezes.covering import is_covered
from integrations.lifecycle import ExecutionStatus
from integrations.models import Attempt, Execution, Freeze, IntegrationGauge
from threada_site.admin.background import since_now
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext, Scope, Visibility
from threada_site.tenancy.models import Tenant
from workitems import selectors
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, Vote

PULSE: Final = "pulse"
"""Name of the URL."""
MOST_ROWS: Final = 100
"""Upper bound of the rows that a page may ask about."""
MOST_NEW: Final = 50
SINCE: Final = "Threada-Pulse-Since"
"""Header of answers: `since` of the next request."""
_CANDIDATES: Final = 500
"""Upper bound of the newest pending steps among which those of the reader are looked for."""
_VOTES: Final = 200
_FREEZES: Final = 50
_GAUGES: Final = 200


def pulse_view(request: HttpRequest) -> HttpResponse:
    """Return the state of the page that the query names, 304 if it is unchanged, 404 if it is not there for the reader.

    The middleware answers 401 without a session that may act in a tenant.
    """
    ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
    read = _PAGES.get(request.GET.get("page", ""))
    found = read(request.GET, ctx) if read is not None and ctx.has_scope_anywhere(Scope.WORKITEMS_READ) else None
    if found is None:
        return _uncached(JsonResponse({"state": None}, status=404))
    body = orjson.dumps({"state": found}, option=orjson.OPT_SORT_KEYS, default=str)
    tag = f'"{hashlib.sha256(ctx.tenant_id.bytes + ctx.principal_id.bytes + body).hexdigest()[:32]}"'
    headers = {"ETag": tag, SINCE: str(since_now())}
    if request.headers.get("If-None-Match") == tag:
        return _uncached(HttpResponseNotModified(headers=headers))
    return _uncached(HttpResponse(body, content_type="application/json", headers=headers))


def signed_out() -> HttpResponse:
    """Return the answer to a page whose reader has to sign in, choose a tenant or prove a second factor."""
    return _uncached(JsonResponse({"state": None}, status=401))


def _uncached(response: HttpResponse) -> HttpResponse:
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["Vary"] = "Cookie"
    return response


def _desk(query: QueryDict, ctx: ActingContext) -> dict[str, Any]:
    """Return the new steps that wait for the reader, and those of the shown rows that are no longer pending."""
    return _waiting(query, ctx)


def _dashboard(query: QueryDict, ctx: ActingContext) -> dict[str, Any]:
    """Return the same as for the desk, and a digest of the rows that the numbers of the dashboard count.

    These are the newest rows, failing integrations, calls with an unknown outcome, and the end of the newest call.
    """
    newest = {
        "item": selectors.work_items(ctx).order_by("-id"),
        "step": selectors.decision_steps(ctx).order_by("-id"),
    }
    if ctx.allows(Scope.WORKITEMS_READ) and ctx.visibility is Visibility.TENANT:
        newest |= {
            "vote": Vote.objects.filter(tenant_id=ctx.tenant_id).order_by("-id"),
            "attempt": Attempt.objects.filter(tenant_id=ctx.tenant_id).order_by("-id"),
        }
    seen: dict[str, Any] = {name: Subquery(rows.values("id")[:1]) for name, rows in newest.items()}
    return _waiting(query, ctx, **seen, **_changed_rows(ctx))


def _changed_rows(ctx: ActingContext) -> dict[str, Any]:
    """Return what changes the dashboards of operators without a new row: failing integrations and ended calls."""
    if not (ctx.allows(Scope.WORKITEMS_READ) and ctx.visibility is Visibility.TENANT):
        return {}
    mine = {"tenant_id": ctx.tenant_id}
    gauges = IntegrationGauge.objects.filter(**mine).order_by("id")
    unknown = Execution.objects.filter(**mine, status=ExecutionStatus.OUTCOME_UNKNOWN).order_by("-id")
    return {
        "failing": ArraySubquery(gauges.filter(failures__gt=0).values("id")[:_GAUGES]),
        "resting": ArraySubquery(gauges.filter(opened_at__isnull=False).values("id")[:_GAUGES]),
        "unknown": ArraySubquery(unknown.values("id")[:_FREEZES]),
        "ended": Subquery(Attempt.objects.filter(**mine).order_by("-id").values("finished_at")[:1]),
    }


def _waiting(query: QueryDict, ctx: ActingContext, **newest: Any) -> dict[str, Any]:
    """Return what changed among the steps that wait for the reader. One statement; three more if steps are new."""
    steps = selectors.decision_steps(ctx)
    candidates = steps.filter(status=StepStatus.PENDING, id__gte=_since(query)).order_by("-id")
    shown = _rows(query)
    row = _one(
        ctx,
        candidates=ArraySubquery(candidates.values("id")[:_CANDIDATES]),
        pending=ArraySubquery(steps.filter(id__in=shown, status=StepStatus.PENDING).values("id")[:MOST_ROWS]),
        freezes=_freezes(ctx),
        **newest,
    )
    pending, known = set(row.pop("pending") or ()), set(shown)
    fresh = [step for step in row.pop("candidates") or () if step not in known]
    mine: list[uuid.UUID] = []
    if fresh and ctx.has_scope_anywhere(Scope.DECISIONS_DECIDE):
        waiting = selectors.steps_pending_for(ctx, steps.filter(id__in=fresh))
        mine = list(waiting.order_by("-id").values_list("id", flat=True)[: MOST_NEW + 1])
    return {
        "new": [ids.public_id(ids.DECISION_STEP, step) for step in mine[:MOST_NEW]],
        "more": len(mine) > MOST_NEW,
        "gone": [ids.public_id(ids.DECISION_STEP, step) for step in shown if step not in pending],
        "digest": _digest(row),
    }


def _step(query: QueryDict, ctx: ActingContext) -> dict[str, Any] | None:
    """Return status, envelope, votes and claim of a step, and the step that is pending now on its work item."""
    mine = {"tenant_id": ctx.tenant_id}
    votes = Vote.objects.filter(**mine, step_id=OuterRef("id")).order_by("-id").values("id")
    current = DecisionStep.objects.filter(**mine, work_item_id=OuterRef("work_item_id"), status=StepStatus.PENDING)
    now = clock.now()
    row = _first(
        selectors.decision_steps(ctx),
        query,
        ids.DECISION_STEP,
        "status",
        "envelope_sha256",
        "urgent_at",
        vote_ids=ArraySubquery(votes[:_VOTES]),
        current=Subquery(current.values("id")[:1]),
        is_claimed=Q(claimed_until__gt=now),
        freezes=_freezes(ctx),
    )
    if row is None:
        return None
    return {
        "status": row["status"],
        "envelope_sha256": row["envelope_sha256"],
        "due": row["urgent_at"].isoformat(),
        "votes": len(row["vote_ids"] or ()),
        "current": ids.public_id(ids.DECISION_STEP, row["current"]) if row["current"] else "",
        "is_claimed": bool(row["is_claimed"]),
        "freezes": row["freezes"],
    }


def _item(query: QueryDict, ctx: ActingContext) -> dict[str, Any] | None:
    """Return the status of a work item, and its newest step and execution with their statuses."""
    mine = {"tenant_id": ctx.tenant_id, "work_item_id": OuterRef("id")}
    steps = DecisionStep.objects.filter(**mine).order_by("-id")
    runs = Execution.objects.filter(**mine).order_by("-id").annotate(is_frozen=is_covered(ctx.tenant_id))
    row = _first(
        selectors.work_items(ctx),
        query,
        ids.WORK_ITEM,
        "status",
        "version",
        "updated_at",
        step_id=Subquery(steps.values("id")[:1]),
        step_status=Subquery(steps.values("status")[:1]),
        run_id=Subquery(runs.values("id")[:1]),
        run_status=Subquery(runs.values("status")[:1]),
        run_attempts=Subquery(runs.values("attempts_made")[:1]),
        run_is_frozen=Subquery(runs.values("is_frozen")[:1]),
    )
    return None if row is None else {"status": row.pop("status"), "digest": _digest(row)}


def _execution(query: QueryDict, ctx: ActingContext) -> dict[str, Any] | None:
    """Return the status of an execution, and a digest of its attempts and times."""
    attempts = Attempt.objects.filter(tenant_id=ctx.tenant_id, execution_id=OuterRef("id")).order_by("-number")
    row = _first(
        selectors.executions(ctx),
        query,
        ids.EXECUTION,
        "status",
        "attempts_made",
        "next_try_at",
        "waiting_until",
        "undo_due_at",
        "undo_problem",
        "failure",
        attempt=Subquery(attempts.values("outcome")[:1]),
        is_frozen=is_covered(ctx.tenant_id),
    )
    return None if row is None else {"status": row.pop("status"), "digest": _digest(row)}


type _Read = Callable[[QueryDict, ActingContext], dict[str, Any] | None]
_PAGES: Final[Mapping[str, _Read]] = {
    "dashboard": _dashboard,
    "desk": _desk,
    "step": _step,
    "item": _item,
    "execution": _execution,
}


def _freezes(ctx: ActingContext) -> ArraySubquery:
    rows = Freeze.objects.filter(tenant_id=ctx.tenant_id, lifted_at__isnull=True).order_by("id")
    return ArraySubquery(rows.values("id")[:_FREEZES])


def _one(ctx: ActingContext, **parts: Any) -> dict[str, Any]:
    """Return the values of scalar and array subqueries, in one statement."""
    return dict(Tenant.objects.filter(id=ctx.tenant_id).values(**parts)[0])


def _first(rows: QuerySet[Any], query: QueryDict, prefix: str, *columns: str, **parts: Any) -> dict[str, Any] | None:
    """Return columns and subqueries of the row that the query names, in one statement; None if it is not readable."""
    key = ids.parse_public_id(prefix, query.get("id", "")[:80])
    return rows.filter(id=key).values(*columns, **parts).first() if key is not None else None


def _digest(values: Any) -> str:
    return hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()[:24]


def _since(query: QueryDict) -> uuid.UUID:
    try:
        return uuid.UUID(query.get("since", "")[:36])
    except ValueError:
        return since_now()


def _rows(query: QueryDict) -> list[uuid.UUID]:
    named = query.get("rows", "").split(",")[:MOST_ROWS]
    found = (ids.parse_public_id(ids.DECISION_STEP, name) for name in named)
    return [step for step in found if step is not None]
