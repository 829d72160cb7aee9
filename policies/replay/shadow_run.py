"""Comparison of a shadow with live decisions, from the stored record, so that live checks never wait for it.

A decision becomes visible at commit, possibly after one with a later id. Compared decisions are therefore tracked by
their results, not by the last id; only ids older than the longest transaction count as settled.
"""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from policies.evaluator.runs import EvaluatorRun, evaluator_run
from policies.lifecycle import ShadowStatus
from policies.models import PolicyDecision, PolicyShadow, ShadowResult
from policies.replay.candidate import candidate_of
from policies.replay.comparing import Compared, Comparer, ComparisonSetup
from policies.replay.recorded_decisions import Recorded, recorded_decisions
from policies.replay.run import finding_of
from policies.replay.shadows import end_shadow
from policies.replay.summary import ReplaySummary
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import EvaluatorBusy, EvaluatorFailed

BATCH: Final = 500
BATCH_S: Final = 1.0
"""Maximum decisions and seconds per batch."""
LATE: Final = timedelta(seconds=30)
"""Maximum time between the id of a decision and its commit. Decisions committed later are not compared."""

log = structlog.get_logger("threada.shadows")


def run_shadow(shadow_id: uuid.UUID, *, ctx: ActingContext, now: datetime | None = None) -> int:
    """Compare the decisions since the last run and return their number. Ends the shadow after `ends_at`.

    Opens its own units of work. Of concurrent runs, one does the work. The shadow is locked after the evaluation, so
    that nobody waits for the rules; the evaluator's lock keeps other runs away.
    """
    total, stopped, goes_on = 0, 0, True
    while goes_on:
        try:
            with unit_of_work(ctx.tenant_id), evaluator_run(ctx.tenant_id, wait_ms=0, stopped=stopped) as run:
                shadow = _active(shadow_id, ctx=ctx)
                if shadow is None:
                    return total
                compared, goes_on = _compare_some(shadow, run, now=now or clock.now(), ctx=ctx)
        except EvaluatorBusy:
            return total  # the sweep enqueues the next run
        total += compared
        stopped = run.stopped
    return total


def _active(shadow_id: uuid.UUID, *, ctx: ActingContext, for_update: bool = False) -> PolicyShadow | None:
    rows = PolicyShadow.objects.select_for_update(of=("self",), no_key=True) if for_update else PolicyShadow.objects
    active = rows.filter(tenant_id=ctx.tenant_id, id=shadow_id, status=ShadowStatus.ACTIVE)
    return active.select_related("policy", "policy_version").first()


def _compare_some(shadow: PolicyShadow, run: EvaluatorRun, *, now: datetime, ctx: ActingContext) -> tuple[int, bool]:
    """Compare a batch and store the results, unless the shadow was ended in the meantime.

    A shadow whose rules are killed again and again is ended. Return the number of results, and True if more may follow.
    """
    ends = time.monotonic() + BATCH_S
    version_id = ids.public_id(ids.POLICY_VERSION, shadow.policy_version_id)
    candidate = candidate_of(shadow.policy.slug, shadow.document, version_id=version_id)
    comparer = Comparer(ComparisonSetup(candidate=candidate), ctx=ctx)
    summary = ReplaySummary.from_json(shadow.summary)
    results, is_over = [], True
    for recorded in recorded_decisions(_unseen(shadow)):
        results.append(_result(shadow, recorded, comparer, summary, run))
        if run.is_exhausted or time.monotonic() > ends:
            is_over = False
            break
    is_over = is_over and len(results) < BATCH
    if _active(shadow.id, ctx=ctx, for_update=True) is None:
        return 0, False
    ShadowResult.objects.bulk_create(results)
    shadow.compared, shadow.flipped = summary.replayed, summary.flipped
    shadow.not_replayable, shadow.summary = summary.unanswerable, summary.as_json()
    shadow.failed += sum(result.kind == "failed" for result in results)
    if is_over:
        shadow.settled = max(shadow.settled, min(ids.first_id_at(now - LATE), ids.first_id_at(shadow.ends_at)))
    shadow.save(update_fields=["compared", "flipped", "not_replayable", "failed", "summary", "settled"])
    if run.is_exhausted or (is_over and now >= shadow.ends_at + LATE):
        end_shadow(shadow, ctx=ctx)
    return len(results), not is_over and not run.is_exhausted


def _unseen(shadow: PolicyShadow) -> QuerySet[PolicyDecision]:
    seen = ShadowResult.objects.filter(tenant_id=shadow.tenant_id, shadow=shadow, decision_id=OuterRef("id"))
    rows = PolicyDecision.objects.filter(
        tenant_id=shadow.tenant_id,
        id__gte=shadow.settled,
        id__lt=ids.first_id_at(shadow.ends_at),
        versions__contains=[{"policy": shadow.policy.slug}],
    )
    return rows.exclude(Exists(seen)).order_by("id")[:BATCH]


def _result(
    shadow: PolicyShadow, recorded: Recorded, comparer: Comparer, summary: ReplaySummary, run: EvaluatorRun
) -> ShadowResult:
    """Return the result for one decision. An exception is recorded as a failed comparison."""
    result = ShadowResult(
        tenant_id=shadow.tenant_id, shadow=shadow, decision_id=recorded.id, kind="same", case=recorded.case(None)
    )
    try:
        with transaction.atomic():
            compared = comparer.compare(recorded, run=run)
    except EvaluatorFailed:
        raise
    except Exception as error:
        log.exception("shadow_failed", shadow=shadow.public_id, decision=recorded.public_id)
        result.kind, result.found = "failed", {"error": type(error).__name__}
        return result
    if compared is not None:
        _note(result, recorded, compared, summary)
    return result


def _note(result: ShadowResult, recorded: Recorded, compared: Compared, summary: ReplaySummary) -> None:
    result.case = recorded.case(compared.facts)
    summary.add(
        compared.found,
        decision=recorded.public_id,
        workflow=result.case["workflow_id"] or "",
        channel=result.case["channel_id"] or "",
    )
    finding = finding_of(compared.found)
    if finding is not None:
        result.kind, result.found = finding
