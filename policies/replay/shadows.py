"""Services to start and end shadows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from policies.lifecycle import SHADOW, ShadowStatus
from policies.models import PolicyShadow, PolicyVersion
from policies.replay.candidate import candidate_version
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import Conflict, FieldError, InvalidRequest

LONGEST: Final = timedelta(days=90)
MOST_ACTIVE: Final = 10


def start_shadow(version: PolicyVersion, *, ends_at: datetime, ctx: ActingContext) -> PolicyShadow:
    """Start a shadow: compare `version` with every decision of its policy until `ends_at`, without enforcing it.

    Receipt: `policy.shadow_started`. Raises `InvalidRequest` if `ends_at` is past or more than 90 days away, and
    `Conflict` if the version is already a shadow or ten shadows are active.
    """
    require_unit_of_work(ctx.tenant_id)
    now = clock.now()
    if not now < ends_at <= now + LONGEST:
        field_error = FieldError("/ends_at", f"must lie in the next {LONGEST.days} days", "out_of_range")
        raise InvalidRequest("Choose an end within the allowed range.", errors=[field_error])
    candidate_version(version)
    # Lock, so that two concurrent starts count each other.
    PolicyVersion.objects.select_for_update(no_key=True).get(tenant_id=ctx.tenant_id, id=version.id)
    active = PolicyShadow.objects.filter(tenant_id=ctx.tenant_id, status=ShadowStatus.ACTIVE)
    if active.filter(policy_version=version).exists():
        raise Conflict(f"Version {version.number} is already a shadow. End it first.")
    if len(active[:MOST_ACTIVE]) == MOST_ACTIVE:
        raise Conflict(f"{MOST_ACTIVE} shadows are active. End one first.")
    begins = ids.first_id_at(now)
    shadow = PolicyShadow(
        tenant_id=ctx.tenant_id,
        policy=version.policy,
        policy_version=version,
        document=version.document,
        document_sha256=version.document_sha256,
        from_id=begins,
        settled=begins,
        started_by=None if ctx.is_system else ctx.principal_id,
        created_at=now,
        ends_at=ends_at,
    )
    shadow.save(force_insert=True)
    record(_entry("policy.shadow_started", shadow), ctx=ctx)
    return shadow


def end_shadow(shadow: PolicyShadow, *, ctx: ActingContext) -> None:
    """End a locked shadow. Receipt: `policy.shadow_ended`. Raises `TransitionNotAllowed`."""
    require_unit_of_work(ctx.tenant_id)
    SHADOW.check_transition(ShadowStatus(shadow.status), ShadowStatus.ENDED)
    shadow.status, shadow.ended_at = ShadowStatus.ENDED, clock.now()
    shadow.save(update_fields=["status", "ended_at"])
    record(_entry("policy.shadow_ended", shadow), ctx=ctx)


def _entry(kind: str, shadow: PolicyShadow) -> Entry:
    outcome: dict[str, Any] = {"status": shadow.status, "ends_at": rfc3339(shadow.ends_at)}
    if shadow.status == ShadowStatus.ENDED:
        outcome |= {
            "compared": shadow.compared,
            "flipped": shadow.flipped,
            "not_replayable": shadow.not_replayable,
            "failed": shadow.failed,
        }
    return Entry(
        kind=kind,
        subject=Subject(policy_version_id=shadow.policy_version_id, status=shadow.status),
        inputs={"policy_shadow_id": shadow.public_id},
        policy={"policy": shadow.policy.slug, "document_sha256": shadow.document_sha256},
        outcome=outcome,
    )
