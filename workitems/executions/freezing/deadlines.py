"""Deadlines of steps that fell into a frozen time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import batched
from typing import Final

from django.db.models import Q

from integrations.freezes.block import freeze_on, freezes_in_force
from integrations.freezes.scope import Place, frozen_since, moved
from integrations.models import Freeze
from threada_site.database.batched_writes import batched_writes
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from workitems.items.receipts import record_item, step_blocks
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep
from workitems.steps.frozen_steps import place_of
from workitems.steps.pauses import is_pause_over, resume_step

_DEADLINES: Final = ("respond_due_at", "remind_at", "escalate_at", "expires_at")
_AT_ONCE: Final = 100


def move_deadlines(freeze: Freeze, *, ctx: ActingContext) -> int:
    """Extend the deadlines of steps by the time of the freeze. Return the number of changed steps.

    Steps that another freeze still covers are skipped until that freeze is lifted.
    """
    assert freeze.lifted_at is not None  # noqa: S101  (`lift_freeze` has set it)
    now = freeze.lifted_at
    others = freezes_in_force(ctx.tenant_id)
    lifted = list(Freeze.objects.filter(tenant_id=ctx.tenant_id, lifted_at__gte=freeze.set_at))
    changed: list[DecisionStep] = []
    for step in _steps_due(freeze, now):
        place = place_of(step)
        if not freeze.scope.covers(place) or freeze_on(others, place) is not None:
            continue
        if step.paused_at is not None:
            if not is_pause_over(step, now=now):
                continue
            resume_step(step.work_item, step, now=now, ctx=ctx)
        since = frozen_since(_periods(lifted, place), now)
        if step.resumed_at is not None:
            since = max(since, step.resumed_at)
        if _move(step, since=since, until=now):
            changed.append(step)
    for together in batched(changed, _AT_ONCE):
        with batched_writes():
            for step in together:
                _record_moved(step, freeze, ctx=ctx)
    return len(changed)


def _record_moved(step: DecisionStep, freeze: Freeze, *, ctx: ActingContext) -> None:
    blocks = step_blocks(step)
    blocks["inputs"]["freeze_id"] = freeze.public_id
    record_item(
        "decision_step.deadlines_moved",
        step.work_item,
        ctx=ctx,
        execution=step.execution,
        **blocks,
        outcome={
            "status": step.status,
            **{name: rfc3339(value) for name in _DEADLINES if (value := getattr(step, name)) is not None},
        },
    )


def _steps_due(freeze: Freeze, now: datetime) -> list[DecisionStep]:
    """Return the pending steps with a passed deadline, locked."""
    passed = Q()
    for name in _DEADLINES:
        passed |= Q(**{f"{name}__lte": now})
    steps = DecisionStep.objects.filter(passed, tenant_id=freeze.tenant_id, status=StepStatus.PENDING)
    if freeze.workflow:
        steps = steps.filter(workflow=freeze.workflow)
    if freeze.principal_id is not None:
        steps = steps.filter(execution__requested_by=freeze.principal_id)
    return list(steps.select_for_update(of=("self",)).select_related("work_item", "execution").order_by("id"))


def _periods(freezes: Sequence[Freeze], place: Place) -> list[tuple[datetime, datetime]]:
    return [(row.set_at, row.lifted_at) for row in freezes if row.lifted_at and row.scope.covers(place)]


def _move(step: DecisionStep, *, since: datetime, until: datetime) -> bool:
    changed = []
    for name in _DEADLINES:
        before = getattr(step, name)
        after = moved(before, since=since, until=until, opened_at=step.opened_at)
        if after != before:
            setattr(step, name, after)
            changed.append(name)
    if changed:
        step.save(update_fields=changed)
    return bool(changed)
