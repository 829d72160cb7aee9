"""Announcement of emergency publications: all stewards are notified before the version comes into force."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from django.conf import settings

from policies.drafts.edit import version_entry
from policies.drafts.validation import validate_policy
from policies.lifecycle import EmergencyStatus, PolicyVersionStatus
from policies.locks import locked_version
from policies.models import EmergencyPublication, Policy, PolicyVersion
from policies.publication.attached import attached_to
from policies.publication.emergencies import close_emergency, locked_emergency, open_emergency_of
from policies.publication.in_force import publication_outcome, put_in_force, supersede_earlier
from policies.publication.rules import Earlier, Emergency, check_is_available, check_may_publish_alone
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.jobs.enqueue import MAINTENANCE_QUEUE, NOTICE_QUEUE, enqueue
from threada_site.kernel import clock, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import EmergencyPending, EvaluatorBusy, EvaluatorFailed, ThreadaError
from threada_site.kernel.json.canonical import commitment
from threada_site.tenancy.credentials.deciding import check_authentication
from threada_site.tenancy.four_eyes import stewards
from threada_site.tenancy.independence import are_independent, read_controllers

PUT_IN_FORCE: Final = "policies.put_emergency_in_force"
"""Task that puts an announced emergency publication in force. Argument: `emergency_id`."""
_NOTIFY_PERSON: Final = "workitems.notify_person"
"""Task that notifies one person. Preferences do not turn it off."""


def check_may_announce(policy: Policy, emergency: Emergency, *, ctx: ActingContext) -> None:
    """Raise `PersonRequired`, `StepUpRequired`, `InvalidRequest`, `EmergencyPending` or `EmergencyNotAvailable`."""
    now = clock.now()
    check_may_publish_alone(now=now, ctx=ctx)
    check_authentication(ctx=ctx)
    emergency.check()
    if open_emergency_of(policy) is not None:
        raise EmergencyPending
    cooldown = timedelta(hours=settings.THREADA_EMERGENCY_COOLDOWN_HOURS)
    check_is_available(_earlier(policy, ctx=ctx), now=now, cooldown=cooldown)


def announce_emergency(
    draft: PolicyVersion, emergency: Emergency, *, policy: Policy, applies_to_open: bool, ctx: ActingContext
) -> EmergencyPublication:
    """Notify all stewards, and enqueue the job that puts the draft in force after the notice.

    Receipt `policy.emergency_announced`.
    """
    now = clock.now()
    takes_effect_at = now + timedelta(seconds=settings.THREADA_EMERGENCY_NOTICE_SECONDS)
    announced = EmergencyPublication.objects.create(
        tenant_id=ctx.tenant_id,
        policy=policy,
        version=draft,
        status=EmergencyStatus.ANNOUNCED,
        reason=emergency.reason.strip(),
        published_by=ctx.principal_id,
        published_at=now,
        takes_effect_at=takes_effect_at,
        document_sha256=draft.document_sha256,
        applies_to_open=applies_to_open,
        ends_at=takes_effect_at + emergency.lasts,
    )
    what = f"{policy.slug}, in force from {rfc3339(takes_effect_at)} to {rfc3339(announced.ends_at)}"
    for steward in stewards(ctx.tenant_id):
        enqueue(
            _NOTIFY_PERSON,
            tenant_id=ctx.tenant_id,
            queue=NOTICE_QUEUE,
            person_id=str(steward),
            kind="policy_emergency",
            what=what,
            by=ctx.principal_name,
        )
    enqueue(
        PUT_IN_FORCE,
        tenant_id=ctx.tenant_id,
        queue=MAINTENANCE_QUEUE,
        run_at=takes_effect_at,
        emergency_id=str(announced.id),
    )
    outcome = {
        "takes_effect_at": rfc3339(takes_effect_at),
        "ends_at": rfc3339(announced.ends_at),
        "reason_commitment": commitment(bytes(announced.reason_salt), announced.reason),
    }
    record(version_entry("policy.emergency_announced", draft, **outcome), ctx=ctx)
    return announced


def put_emergency_in_force(emergency_id: uuid.UUID, *, ctx: ActingContext) -> bool:
    """Put an announced emergency publication in force after its notice. Return True if this call did.

    It is withdrawn if the draft was changed or published meanwhile, or no longer passes the checks. Receipt
    `policy.published_in_emergency`, or `policy.emergency_ended`.
    """
    require_unit_of_work(ctx.tenant_id)
    found = EmergencyPublication.objects.filter(tenant_id=ctx.tenant_id, id=emergency_id).first()
    if found is None:
        return False
    policy, emergency = locked_emergency(found, ctx=ctx)
    if emergency.status != EmergencyStatus.ANNOUNCED or clock.now() < emergency.takes_effect_at:
        return False
    draft = locked_version(emergency.version, ctx=ctx)
    if not _is_as_announced(draft, emergency, policy=policy, ctx=ctx):
        close_emergency(emergency, EmergencyStatus.WITHDRAWN, ctx=ctx)
        return False
    replaces = policy.in_force_id
    put_in_force(draft, policy, by=emergency.published_by, ctx=ctx)
    emergency.status = EmergencyStatus.OPEN
    emergency.replaced_version_id = replaces
    emergency.published_at = draft.published_at or clock.now()
    emergency.save(update_fields=["status", "replaced_version_id", "published_at"])
    outcome = publication_outcome(
        replaces=replaces, applies_to_open=emergency.applies_to_open, attached=attached_to(draft, ctx=ctx)
    )
    outcome |= {
        "published_by": ids.public_id(ids.PRINCIPAL, emergency.published_by),
        "ends_at": rfc3339(emergency.ends_at),
        "reason_commitment": commitment(bytes(emergency.reason_salt), emergency.reason),
    }
    record(version_entry("policy.published_in_emergency", draft, **outcome), ctx=ctx)
    if emergency.applies_to_open:
        supersede_earlier(draft, ctx=ctx)
    return True


def _is_as_announced(
    draft: PolicyVersion, emergency: EmergencyPublication, *, policy: Policy, ctx: ActingContext
) -> bool:
    if draft.status != PolicyVersionStatus.DRAFT or draft.document_sha256 != emergency.document_sha256:
        return False
    try:
        validate_policy(draft.document, policy=policy, ctx=ctx).check()
    except (EvaluatorBusy, EvaluatorFailed):
        raise  # nothing is known about the draft: the sweep tries again
    except ThreadaError:
        return False
    return True


def _earlier(policy: Policy, *, ctx: ActingContext) -> Iterable[Earlier]:
    """Return the emergency publications of the policy that came into force, newest first."""
    rows = list(
        EmergencyPublication.objects.filter(tenant_id=policy.tenant_id, policy=policy)
        .exclude(status=EmergencyStatus.WITHDRAWN)
        .order_by("-id")
    )
    people = {ctx.principal_id, *(row.published_by for row in rows)}
    controllers = read_controllers(ctx.tenant_id, people)
    return [
        Earlier(
            ended_at=row.closed_at or row.ends_at,
            is_confirmed=row.status == EmergencyStatus.CONFIRMED,
            is_by_dependent=not are_independent(ctx.principal_id, row.published_by, controllers),
        )
        for row in rows
    ]
