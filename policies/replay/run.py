"""Execution of a replay: acquire the lease, compare decisions in batches, record the result.

Each batch commits findings, counts and cursor in one transaction, so a crash loses at most one batch and counts nothing
twice. A worker whose lease was lost or whose replay was cancelled stops at the next batch.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import structlog
from django.db import DatabaseError
from django.db.models import QuerySet

from policies.deciding.comparison import Comparison, Unanswerable
from policies.evaluator.runs import evaluator_run
from policies.lifecycle import REPLAY, ReplayStatus
from policies.models import PolicyDecision, PolicyReplay, ReplayFinding
from policies.replay.candidate import candidate_of
from policies.replay.comparing import Compared, Comparer, ComparisonSetup
from policies.replay.recorded_decisions import Recorded, recorded_decisions
from policies.replay.request import record_replay, scopes_from_json
from policies.replay.summary import ReplaySummary
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import EvaluatorBusy, ThreadaError

LEASE: Final = timedelta(seconds=30)
BATCH: Final = 1000
BATCH_S: Final = 1.0
"""Maximum decisions and seconds per batch; they limit how long a cancellation waits."""
NEXT_BATCH_WAIT_MS: Final = 5000
"""Time for which the next batch waits for a simulation or rule tests that came in between."""
MOST_LOST: Final = 5
"""Number of worker crashes on one batch after which the replay fails."""

log = structlog.get_logger("threada.replays")


def run_replay(
    replay_id: uuid.UUID,
    *,
    ctx: ActingContext,
    is_asked_to_stop: Callable[[], bool] = lambda: False,
    after_batch: Callable[[PolicyReplay], None] = lambda _replay: None,
    wait_ms: int = 0,
) -> bool:
    """Run the replay if it is due. Return True if this call ran it.

    Opens its own units of work; concurrent calls are safe. `after_batch` is called with the replay after every batch.
    If another run of the tenant occupies the evaluator, for `wait_ms` before the first batch, the sweep runs the replay
    later.
    """
    replay = _acquire_lease(replay_id, ctx=ctx)
    if replay is None:
        return False
    try:
        with unit_of_work(ctx.tenant_id):
            comparer = Comparer(_setup(replay), ctx=ctx)
        summary = ReplaySummary.from_json(replay.summary)
        goes_on = True
        while goes_on:
            goes_on = _run_batch(replay, comparer, summary, ctx=ctx, wait_ms=wait_ms)
            wait_ms = max(wait_ms, NEXT_BATCH_WAIT_MS)
            after_batch(replay)
            if goes_on and is_asked_to_stop():
                _release_lease(replay, ctx=ctx)
                goes_on = False
    except EvaluatorBusy:
        _release_lease(replay, ctx=ctx)
        return False
    except DatabaseError:
        raise  # cannot record a result now; the sweep resumes the replay after the lease expires
    except Exception as error:
        reason = error.reason_code if isinstance(error, ThreadaError) else "internal_error"
        _fail(replay, reason, ctx=ctx)
        raise
    return True


def _acquire_lease(replay_id: uuid.UUID, *, ctx: ActingContext) -> PolicyReplay | None:
    now = clock.now()
    with unit_of_work(ctx.tenant_id):
        replay = _locked(replay_id, ctx=ctx)
        if replay is None:
            return None
        lost = replay.status == ReplayStatus.RUNNING and replay.lease_until is not None and replay.lease_until <= now
        if replay.status != ReplayStatus.REQUESTED and not lost:
            return None
        replay.lost += lost
        if replay.lost >= MOST_LOST:
            _become_failed(replay, "worker_lost", ctx=ctx)
            return None
        REPLAY.check_transition(ReplayStatus(replay.status), ReplayStatus.RUNNING)
        replay.status = ReplayStatus.RUNNING
        replay.attempt += 1
        replay.lease_until = now + LEASE
        replay.started_at = replay.started_at or now
        replay.save(update_fields=["status", "attempt", "lost", "lease_until", "started_at"])
    return replay


def _setup(replay: PolicyReplay) -> ComparisonSetup:
    slug, baseline = replay.policy.slug, replay.baseline
    version_id = ids.public_id(ids.POLICY_VERSION, replay.policy_version_id) if replay.policy_version_id else "draft"
    return ComparisonSetup(
        candidate=candidate_of(slug, replay.document, version_id=version_id),
        baseline=candidate_of(slug, baseline.document, version_id=baseline.public_id) if baseline else None,
        scopes=None if replay.scopes is None else scopes_from_json(replay.scopes),
        baseline_scopes=scopes_from_json(replay.baseline_scopes or ()),
    )


def _run_batch(
    replay: PolicyReplay, comparer: Comparer, summary: ReplaySummary, *, ctx: ActingContext, wait_ms: int
) -> bool:
    """Compare the next batch. Return False if the replay has ended or the lease was lost.

    The replay is locked after the evaluation, so that nobody waits for the rules. Raises `EvaluatorBusy`.
    """
    findings: list[ReplayFinding] = []
    looked_at, is_over = 0, True
    with unit_of_work(ctx.tenant_id):
        with evaluator_run(ctx.tenant_id, wait_ms=wait_ms, stopped=comparer.stopped) as run:
            ends = time.monotonic() + BATCH_S
            for recorded in recorded_decisions(_next_decisions(replay)):
                replay.cursor = recorded.id
                looked_at += 1
                compared = comparer.compare(recorded, run=run)
                if compared is not None:
                    _note(compared, recorded, summary, findings, replay)
                if run.is_exhausted or time.monotonic() > ends:
                    is_over = False
                    break
        comparer.stopped = run.stopped
        if not _holds_lease(replay):
            replay.refresh_from_db(fields=["status"])
            return False
        is_over = is_over and looked_at < BATCH
        ReplayFinding.objects.bulk_create(findings, batch_size=500)
        replay.replayed, replay.flipped = summary.replayed, summary.flipped
        replay.not_replayable, replay.summary = summary.unanswerable, summary.as_json()
        replay.lease_until, replay.lost = clock.now() + LEASE, 0
        if is_over:
            _become_finished(replay, ctx=ctx)
        replay.save(
            update_fields=[
                "cursor",
                "replayed",
                "flipped",
                "not_replayable",
                "summary",
                "lease_until",
                "lost",
                "status",
                "finished_at",
            ]
        )
        if run.is_exhausted:
            _become_failed(replay, "policy_too_slow", ctx=ctx)
    return not is_over and not run.is_exhausted


def _next_decisions(replay: PolicyReplay) -> QuerySet[PolicyDecision]:
    unseen = {"id__gte": replay.from_id} if replay.cursor is None else {"id__gt": replay.cursor}
    rows = PolicyDecision.objects.filter(tenant_id=replay.tenant_id, id__lt=replay.before_id, **unseen)
    if replay.scopes is None:
        rows = rows.filter(versions__contains=[{"policy": replay.policy.slug}])
    return rows.order_by("id")[:BATCH]


def _note(
    compared: Compared,
    recorded: Recorded,
    summary: ReplaySummary,
    findings: list[ReplayFinding],
    replay: PolicyReplay,
) -> None:
    case = recorded.case(compared.facts)
    summary.add(
        compared.found,
        decision=recorded.public_id,
        workflow=case["workflow_id"] or "",
        channel=case["channel_id"] or "",
    )
    finding = finding_of(compared.found)
    if finding is not None:
        kind, found = finding
        findings.append(
            ReplayFinding(
                tenant_id=replay.tenant_id, replay=replay, decision_id=recorded.id, kind=kind, case=case, found=found
            )
        )


def finding_of(found: Comparison | Unanswerable) -> tuple[str, dict[str, Any]] | None:
    """Return kind and content of the finding for a comparison, or None if nothing differs."""
    if isinstance(found, Unanswerable):
        return "not_replayable", {"why": found.why.value, "rules": list(found.rules)}
    if not found.is_flip and found.asking is None:
        return None
    return (
        "flip" if found.is_flip else "asking",
        {
            "from": found.before.as_json(),
            "to": found.after.as_json(),
            "approval": found.asking.value if found.asking else None,
            "people": found.people,
        },
    )


def _become_finished(replay: PolicyReplay, *, ctx: ActingContext) -> None:
    REPLAY.check_transition(ReplayStatus(replay.status), ReplayStatus.FINISHED)
    replay.status, replay.lease_until, replay.finished_at = ReplayStatus.FINISHED, None, clock.now()
    record_replay("policy.replayed", replay, ctx=ctx)


def _release_lease(replay: PolicyReplay, *, ctx: ActingContext) -> None:
    """Release the lease so that the sweep assigns another worker. Does nothing if the lease was lost."""
    with unit_of_work(ctx.tenant_id):
        if _holds_lease(replay):
            replay.status, replay.lease_until = ReplayStatus.REQUESTED, None
            replay.save(update_fields=["status", "lease_until"])


def _fail(replay: PolicyReplay, reason_code: str, *, ctx: ActingContext) -> None:
    with unit_of_work(ctx.tenant_id):
        if _holds_lease(replay):
            _become_failed(replay, reason_code, ctx=ctx)


def _become_failed(replay: PolicyReplay, reason_code: str, *, ctx: ActingContext) -> None:
    REPLAY.check_transition(ReplayStatus(replay.status), ReplayStatus.FAILED)
    replay.status, replay.lease_until, replay.failure = ReplayStatus.FAILED, None, reason_code
    replay.save(update_fields=["status", "lease_until", "lost", "failure"])
    record_replay("policy.replay_failed", replay, ctx=ctx, reason_codes=(reason_code,))


def _holds_lease(replay: PolicyReplay) -> bool:
    """Return True if this worker still holds the lease. Locks the replay until the transaction ends."""
    return bool(
        PolicyReplay.objects.select_for_update(no_key=True)
        .filter(tenant_id=replay.tenant_id, id=replay.id, status=ReplayStatus.RUNNING, attempt=replay.attempt)
        .values_list("id")
    )


def _locked(replay_id: uuid.UUID, *, ctx: ActingContext) -> PolicyReplay | None:
    rows = PolicyReplay.objects.select_for_update(of=("self",), no_key=True).filter(tenant_id=ctx.tenant_id)
    return rows.select_related("policy", "policy_version", "baseline").filter(id=replay_id).first()
