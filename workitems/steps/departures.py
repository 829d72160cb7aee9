"""Ends of what a person who is no longer a member held: delegations, claims and assignments of open steps."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from django.db.models import Q, QuerySet

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.owners import CHECK_REACHABILITY
from threada_site.jobs.enqueue import MAINTENANCE_QUEUE, enqueue
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from workitems.items.receipts import record_item
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, Delegation
from workitems.steps.delegations import close_delegation


def end_work_of(person_id: uuid.UUID, *, ctx: ActingContext) -> Mapping[str, tuple[str, ...]]:
    """End delegations from and to the person, claims and assignments. Return public ids by noun.

    Part of `THREADA_DEPARTURE_HANDLER`. Enqueues the check of the open steps, which counts their votes without the
    person.
    Receipts `delegation.ended`, `decision_step.released`, `decision_step.unassigned`.
    """
    require_unit_of_work(ctx.tenant_id)
    ended = {
        "delegations": _end_delegations(person_id, ctx=ctx),
        "claims": _release_claims(person_id, ctx=ctx),
        "assignments": _end_assignments(person_id, ctx=ctx),
    }
    enqueue(CHECK_REACHABILITY, tenant_id=ctx.tenant_id, queue=MAINTENANCE_QUEUE)
    return ended


def _end_delegations(person_id: uuid.UUID, *, ctx: ActingContext) -> tuple[str, ...]:
    rows = Delegation.objects.filter(
        Q(delegator_id=person_id) | Q(delegate_id=person_id),
        tenant_id=ctx.tenant_id,
        ended_at=None,
        ends_at__gt=clock.now(),
    )
    found = list(rows.select_for_update().order_by("id"))
    for row in found:
        close_delegation(row, ctx=ctx)
    return tuple(row.public_id for row in found)


def _release_claims(person_id: uuid.UUID, *, ctx: ActingContext) -> tuple[str, ...]:
    released = []
    for step in _pending_steps(ctx).filter(claimed_by_id=person_id):
        is_in_force = step.claimant_at(clock.now()) is not None
        step.claimed_by_id = step.claimed_until = None
        step.save(update_fields=["claimed_by", "claimed_until"])
        if is_in_force:
            _record("decision_step.released", step, ctx=ctx)
            released.append(step.public_id)
    return tuple(released)


def _end_assignments(person_id: uuid.UUID, *, ctx: ActingContext) -> tuple[str, ...]:
    ended = []
    for step in _pending_steps(ctx).filter(assignee_id=person_id):
        step.assignee_id = None
        step.save(update_fields=["assignee"])
        _record("decision_step.unassigned", step, ctx=ctx)
        ended.append(step.public_id)
    return tuple(ended)


def _pending_steps(ctx: ActingContext) -> QuerySet[DecisionStep]:
    rows = DecisionStep.objects.filter(tenant_id=ctx.tenant_id, status=StepStatus.PENDING)
    return rows.select_related("work_item").select_for_update(of=("self",)).order_by("id")


def _record(kind: str, step: DecisionStep, *, ctx: ActingContext) -> None:
    inputs = {"decision_step_id": step.public_id}
    record_item(kind, step.work_item, ctx=ctx, inputs=inputs, outcome={"status": step.status})
