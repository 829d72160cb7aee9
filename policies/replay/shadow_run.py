"""Comparison of a shadow with live decisions, from the stored record, so that live checks never wait for it.

A decision becomes visible at commit, possibly after one with a later id. Compared decisions are therefore tracked by
their results, not by the last id; only ids older than the longest transaction count as settled.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

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

BATCH: Final = 500
LATE: Final = timedelta(seconds=30)
"""Maximum time between the id of a decision and its commit. Decisions committed later are not compared."""

log = structlog.get_logger("threada.shadows")


def run_shadow(shadow_id: uuid.UUID, *, ctx: ActingContext, now: datetime | None = None) -> int:
    """Compare the decisions since the last run and return their number. Ends the shadow after `ends_at`.

    Opens its own units of work. Of concurrent runs, one does the work.
    """
    total = 0
    while True:
        with unit_of_work(ctx.tenant_id):
            shadow = _taken(shadow_id, ctx=ctx)
            if shadow is None:
                return total
            compared = _compare_some(shadow, now=now or clock.now(), ctx=ctx)
        total += compared
        if compared < BATCH:
            return total


def _taken(shadow_id: uuid.UUID, *, ctx: ActingContext) -> PolicyShadow | None:
    """Return the locked shadow, or None if it has ended or another worker has it locked."""
    rows = PolicyShadow.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
    active = rows.filter(tenant_id=ctx.tenant_id, id=shadow_id, status=ShadowStatus.ACTIVE)
    return active.select_related("policy", "policy_version").first()


def _compare_some(shadow: PolicyShadow, *, now: datetime, ctx: ActingContext) -> int:
    version_id = ids.public_id(ids.POLICY_VERSION, shadow.policy_version_id)
    candidate = candidate_of(shadow.policy.slug, shadow.document, version_id=version_id)
    comparer = Comparer(ComparisonSetup(candidate=candidate), ctx=ctx)
    summary = ReplaySummary.from_json(shadow.summary)
    results = [_result(shadow, recorded, comparer, summary) for recorded in recorded_decisions(_unseen(shadow))]
    ShadowResult.objects.bulk_create(results)
    shadow.compared, shadow.flipped = summary.replayed, summary.flipped
    shadow.not_replayable, shadow.summary = summary.unanswerable, summary.as_json()
    shadow.failed += sum(result.kind == "failed" for result in results)
    if len(results) < BATCH:
        shadow.settled = max(shadow.settled, min(ids.first_id_at(now - LATE), ids.first_id_at(shadow.ends_at)))
    shadow.save(update_fields=["compared", "flipped", "not_replayable", "failed", "summary", "settled"])
    if len(results) < BATCH and now >= shadow.ends_at + LATE:
        end_shadow(shadow, ctx=ctx)
    return len(results)


def _unseen(shadow: PolicyShadow) -> QuerySet[PolicyDecision]:
    seen = ShadowResult.objects.filter(tenant_id=shadow.tenant_id, shadow=shadow, decision_id=OuterRef("id"))
    rows = PolicyDecision.objects.filter(
        tenant_id=shadow.tenant_id,
        id__gte=shadow.settled,
        id__lt=ids.first_id_at(shadow.ends_at),
        versions__contains=[{"policy": shadow.policy.slug}],
    )
    return rows.exclude(Exists(seen)).order_by("id")[:BATCH]


def _result(shadow: PolicyShadow, recorded: Recorded, comparer: Comparer, summary: ReplaySummary) -> ShadowResult:
    """Return the result for one decision. An exception is recorded as a failed comparison."""
    result = ShadowResult(
        tenant_id=shadow.tenant_id, shadow=shadow, decision_id=recorded.id, kind="same", case=recorded.case(None)
    )
    try:
        with transaction.atomic():
            compared = comparer.compare(recorded)
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
