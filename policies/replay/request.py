"""Services to request, cancel and resume replays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from policies import selectors
from policies.documents.overlay import OverlayScope
from policies.drafts.edit import policy_spec
from policies.lifecycle import REPLAY, ReplayStatus
from policies.models import Policy, PolicyDecision, PolicyReplay, PolicyVersion
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.jobs.enqueue import REPLAY_QUEUE, enqueue
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.quotas.kinds import Quota
from threada_site.tenancy.quotas.require import require_quota

RUN: Final = "policies.run_replay"
"""Task that runs a replay. Argument: `replay_id`."""


class Against(StrEnum):
    """Baseline of a replay: the version in force, or the recorded decisions."""

    IN_FORCE = "in_force"
    RECORDED = "recorded"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayRequest:
    """Parameters of a replay. The time window is half-open; the default is the whole history.

    If `scopes` is None, the recorded scopes are used; otherwise the policy is assumed to apply on `scopes`.
    """

    created_after: datetime | None = None
    created_before: datetime | None = None
    against: Against = Against.IN_FORCE
    scopes: tuple[OverlayScope, ...] | None = None


def request_replay(
    version: PolicyVersion, request: ReplayRequest, *, ctx: ActingContext, by_job: bool = True
) -> PolicyReplay:
    """Request a replay of a stored version of any status. Raises the same errors as `request_document_replay`."""
    return _request(version.policy, version.document, request, ctx=ctx, version=version, by_job=by_job)


def request_document_replay(
    policy: Policy, document: Any, request: ReplayRequest, *, ctx: ActingContext, by_job: bool = True
) -> PolicyReplay:
    """Request a replay of a document, stored or not. Receipt: `policy.replay_requested`.

    Raises `PolicyDocumentInvalid`, `QuotaExceeded`, and `InvalidRequest` for a time window that ends before it starts.
    """
    spec = policy_spec(document, slug=policy.slug)
    same = PolicyVersion.objects.filter(
        tenant_id=ctx.tenant_id, policy=policy, document_sha256=canonical_sha256(spec)
    ).order_by("-number")
    return _request(policy, spec, request, ctx=ctx, version=same.first(), by_job=by_job)


def cancel_replay(replay: PolicyReplay, *, ctx: ActingContext) -> None:
    """Cancel a locked replay; it can be resumed. Receipt: `policy.replay_cancelled`. Raises `TransitionNotAllowed`."""
    require_unit_of_work(ctx.tenant_id)
    REPLAY.check_transition(ReplayStatus(replay.status), ReplayStatus.CANCELLED)
    replay.status, replay.lease_until = ReplayStatus.CANCELLED, None
    replay.save(update_fields=["status", "lease_until"])
    record_replay("policy.replay_cancelled", replay, ctx=ctx)


def resume_replay(replay: PolicyReplay, *, ctx: ActingContext, by_job: bool = True) -> None:
    """Resume a locked replay that was cancelled or failed, at its last position.

    Receipt: `policy.replay_resumed`. Raises `TransitionNotAllowed`, `QuotaExceeded`.
    """
    require_unit_of_work(ctx.tenant_id)
    if replay.status in (ReplayStatus.RUNNING, ReplayStatus.REQUESTED):
        raise errors.TransitionNotAllowed("The replay is still running; it needs no resume.")
    REPLAY.check_transition(ReplayStatus(replay.status), ReplayStatus.REQUESTED)
    require_quota(Quota.RUNNING_REPLAYS, ctx=ctx)
    replay.status, replay.failure, replay.lost = ReplayStatus.REQUESTED, "", 0
    replay.save(update_fields=["status", "failure", "lost"])
    record_replay("policy.replay_resumed", replay, ctx=ctx)
    if by_job:
        enqueue_replay(replay)


def enqueue_replay(replay: PolicyReplay) -> None:
    """Enqueue the replay; the job starts after the open transaction commits."""
    enqueue(RUN, tenant_id=replay.tenant_id, queue=REPLAY_QUEUE, replay_id=str(replay.id))


def record_replay(kind: str, replay: PolicyReplay, *, ctx: ActingContext, reason_codes: tuple[str, ...] = ()) -> None:
    """Record the receipt of an action on a replay, with document, time window and progress."""
    record(
        Entry(
            kind=kind,
            subject=Subject(policy_version_id=replay.policy_version_id, status=replay.status),
            inputs={
                "policy_replay_id": replay.public_id,
                "created_after": rfc3339(replay.created_after),
                "created_before": rfc3339(replay.created_before),
                "against": replay.against,
                **({"scopes": replay.scopes} if replay.scopes is not None else {}),
            },
            policy={
                "policy": replay.policy.slug,
                "document_sha256": replay.document_sha256,
                "baseline": replay.baseline_id and ids.public_id(ids.POLICY_VERSION, replay.baseline_id),
            },
            outcome={
                "replayed": replay.replayed,
                "flipped": replay.flipped,
                "not_replayable": replay.not_replayable,
            },
            reason_codes=reason_codes,
        ),
        ctx=ctx,
    )


def _request(
    policy: Policy,
    spec: Any,
    request: ReplayRequest,
    *,
    ctx: ActingContext,
    version: PolicyVersion | None,
    by_job: bool,
) -> PolicyReplay:
    require_unit_of_work(ctx.tenant_id)
    require_quota(Quota.RUNNING_REPLAYS, ctx=ctx)
    from_id, before_id = _window(request, ctx=ctx)
    baseline = policy.in_force if request.against == Against.IN_FORCE else None
    replay = PolicyReplay(
        tenant_id=ctx.tenant_id,
        policy=policy,
        policy_version=version,
        document=spec,
        document_sha256=canonical_sha256(spec),
        scopes=None if request.scopes is None else scopes_json(request.scopes),
        against=request.against,
        baseline=baseline,
        baseline_scopes=None if request.scopes is None else scopes_json(_scopes_now(policy, ctx=ctx)),
        from_id=from_id,
        before_id=before_id,
        requested_by=None if ctx.is_system else ctx.principal_id,
    )
    replay.save(force_insert=True)
    record_replay("policy.replay_requested", replay, ctx=ctx)
    if by_job:
        enqueue_replay(replay)
    return replay


def scopes_json(scopes: Sequence[OverlayScope]) -> list[dict[str, Any]]:
    return [scope.as_json() for scope in scopes]


def scopes_from_json(value: Sequence[dict[str, Any]]) -> tuple[OverlayScope, ...]:
    """Return the scopes that `scopes_json` serialized."""
    return tuple(OverlayScope(kind, "" if named is True else named) for scope in value for kind, named in scope.items())


def _scopes_now(policy: Policy, *, ctx: ActingContext) -> list[OverlayScope]:
    bound = selectors.overlays(ctx).filter(policy=policy).order_by("scope_kind", "scope_slug")
    now = clock.now()
    return [overlay.scope for overlay in bound if overlay.window.holds(now)]


def _window(request: ReplayRequest, *, ctx: ActingContext) -> tuple[Any, Any]:
    """Return the first decision id of the time window and the first id after it; the window ends now at the latest."""
    now = clock.now()
    before = min(request.created_before or now, now)
    after = request.created_after
    if after is not None and request.created_before is not None and request.created_before <= after:
        field_error = FieldError("/created_before", "must be later than created_after", "invalid")
        raise errors.InvalidRequest("The time window ends before it starts.", errors=[field_error])
    end = ids.first_id_at(before)
    rows = PolicyDecision.objects.filter(tenant_id=ctx.tenant_id, id__lt=end)
    if after is not None:
        rows = rows.filter(id__gte=ids.first_id_at(after))
    first = rows.order_by("id").values_list("id", flat=True).first()
    return first or end, end
