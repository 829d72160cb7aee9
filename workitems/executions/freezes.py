"""Freezes: stop and resume the executions of a scope, and extend the deadlines of its steps."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from typing import Any, Final

from django.db.models import Q

from integrations import selectors as integration_selectors
from integrations.configuration.parsed_documents import document_of
from integrations.executions.dispatch import dispatch_waiting
from integrations.freezes.block import executions_in, freeze_on, freezes_in_force, lock_leases_out, release_lifted
from integrations.freezes.scope import FreezeScope, frozen_since, moved
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution, Freeze, FreezeBlock
from policies import selectors as policy_selectors
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.batched_writes import batched_writes
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import commitment
from threada_site.tenancy.four_eyes import FREEZE_FOUR_EYES, is_four_eyes_required
from threada_site.tenancy.independence import is_independent_of
from threada_site.tenancy.models import User
from workitems.items.receipts import record_item, step_blocks
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep
from workitems.steps.frozen_steps import place_of
from workitems.steps.pauses import is_pause_over, resume_step

MOST_NAMED: Final = 200
_DEADLINES: Final = ("respond_due_at", "remind_at", "escalate_at", "expires_at")
_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Stopped:
    """New freeze, and the executions in its scope that are running and cannot be recalled."""

    freeze: Freeze
    in_flight: list[Execution]


def set_freeze(scope: FreezeScope, *, reason: str, ctx: ActingContext) -> Stopped:
    """Stop every execution in `scope` that is not running yet.

    Receipt `freeze.set`, with the running executions. Raises `PermissionDenied`, `UnknownWorkflow`,
    `UnknownIntegration`, `UnknownAction`, `InvalidRequest` (no reason).
    """
    require_unit_of_work(ctx.tenant_id)
    _check_permission(scope, Scope.ACTIONS_FREEZE, ctx=ctx)
    _check_exists(scope, ctx=ctx)
    if not reason.strip():
        raise errors.InvalidRequest(
            "Say why: a freeze needs a reason.", errors=[FieldError("/reason", "is required", "required")]
        )
    lock_leases_out(ctx.tenant_id)
    freeze = Freeze.objects.create(
        tenant_id=ctx.tenant_id,
        workflow=scope.workflow,
        integration=scope.integration,
        action=scope.action,
        reason=reason,
        set_by=None if ctx.is_system else ctx.principal_id,
    )
    running = in_flight(freeze)
    _record(
        "freeze.set",
        freeze,
        {"in_flight": [execution.public_id for execution in running], "reason_commitment": _committed(freeze, reason)},
        ctx=ctx,
    )
    return Stopped(freeze, running)


def lift_freeze(freeze_id: uuid.UUID, *, reason: str = "", ctx: ActingContext) -> Freeze:
    """Lift a freeze: blocked executions run, and deadlines that passed meanwhile are extended by its duration.

    A freeze that a person set is lifted by a person, one that the operator set also by the operator. Receipt
    `freeze.lifted`. Raises `NotFound`, `PermissionDenied`, `FreezeLifted`, `PersonRequired`, `SecondPersonRequired`.
    """
    require_unit_of_work(ctx.tenant_id)
    freeze = Freeze.objects.select_for_update().filter(tenant_id=ctx.tenant_id, id=freeze_id).first()
    if freeze is None:
        raise errors.NotFound
    _check_permission(freeze.scope, Scope.INTEGRATIONS_MANAGE, ctx=ctx)
    if freeze.lifted_at is not None:
        raise errors.FreezeLifted("This freeze has been lifted already.")
    check_may_lift(freeze, four_eyes=is_four_eyes_required(ctx.tenant_id, FREEZE_FOUR_EYES), ctx=ctx)
    freeze.lifted_at = clock.now()
    freeze.lifted_by = None if ctx.is_system else ctx.principal_id
    freeze.lifted_reason = reason
    freeze.save(update_fields=["lifted_at", "lifted_by", "lifted_reason"])
    steps_moved = _move_deadlines(freeze, ctx=ctx)
    _record(
        "freeze.lifted",
        freeze,
        {
            "lasted_s": round((freeze.lifted_at - freeze.set_at).total_seconds(), 3),
            "decision_steps_moved": steps_moved,
            **({"reason_commitment": _committed(freeze, reason)} if reason else {}),
        },
        ctx=ctx,
    )
    release_lifted(tenant_id=ctx.tenant_id)
    dispatch_waiting(ctx.tenant_id, now=freeze.lifted_at)
    return freeze


def in_flight(freeze: Freeze) -> list[Execution]:
    """Return the running executions in the scope of a freeze, at most 200."""
    return list(executions_in(freeze.scope, tenant_id=freeze.tenant_id, status=ExecutionStatus.RUNNING)[:MOST_NAMED])


def executions_blocked_by(freeze: Freeze) -> list[Execution]:
    """Return the oldest executions that a worker found blocked by a freeze in force, at most 200."""
    blocked = Execution.objects.filter(
        tenant_id=freeze.tenant_id, blocked_by_freeze=freeze, status=ExecutionStatus.STARTED
    )
    return list(blocked.order_by("id")[:MOST_NAMED])


def executions_kept_by(freeze: Freeze) -> list[Execution]:
    """Return the oldest executions that a freeze keeps from being sent, or had blocked when it was lifted; at most
    200."""
    if freeze.lifted_at is None:
        started = executions_in(freeze.scope, tenant_id=freeze.tenant_id, status=ExecutionStatus.STARTED)
        return list(started[:MOST_NAMED])
    blocks = FreezeBlock.objects.filter(tenant_id=freeze.tenant_id, freeze=freeze).order_by("execution_id")
    named = list(blocks.values_list("execution_id", flat=True)[:MOST_NAMED])
    return list(Execution.objects.filter(tenant_id=freeze.tenant_id, id__in=named).order_by("id"))


def _move_deadlines(freeze: Freeze, *, ctx: ActingContext) -> int:
    """Extend the deadlines of steps by the time of the freeze. Return the number of changed steps.

    Steps that another freeze still covers are skipped until that freeze is lifted.
    """
    assert freeze.lifted_at is not None  # noqa: S101  (`lift_freeze` has set it)
    now = freeze.lifted_at
    others = freezes_in_force(ctx.tenant_id)
    lifted = list(Freeze.objects.filter(tenant_id=ctx.tenant_id, lifted_at__gte=freeze.set_at))
    moved: list[DecisionStep] = []
    for step in _steps_due(freeze, now):
        place = place_of(step)
        if not freeze.scope.covers(**place) or freeze_on(others, **place) is not None:
            continue
        if step.paused_at is not None:
            if not is_pause_over(step, now=now):
                continue
            resume_step(step.work_item, step, now=now, ctx=ctx)
        since = frozen_since(_periods(lifted, place), now)
        if step.resumed_at is not None:
            since = max(since, step.resumed_at)
        if _move(step, since=since, until=now):
            moved.append(step)
    for together in batched(moved, _AT_ONCE):
        with batched_writes():
            for step in together:
                _record_moved(step, freeze, ctx=ctx)
    return len(moved)


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
    return list(steps.select_for_update(of=("self",)).select_related("work_item", "execution").order_by("id"))


def _periods(freezes: Sequence[Freeze], place: dict[str, str]) -> list[tuple[datetime, datetime]]:
    return [(row.set_at, row.lifted_at) for row in freezes if row.lifted_at and row.scope.covers(**place)]


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


def _check_permission(frozen_part: FreezeScope, permission: Scope, *, ctx: ActingContext) -> None:
    """Raise `PermissionDenied` without `permission` on the tenant, or on the frozen workflow or integration."""
    workflow = policy_selectors.workflow_by_slug(frozen_part.workflow, ctx=ctx) if frozen_part.workflow else None
    integration = (
        integration_selectors.integration_by_slug(frozen_part.integration, ctx=ctx) if frozen_part.integration else None
    )
    if not ctx.allows(
        permission, workflow=workflow.id if workflow else None, integration=integration.id if integration else None
    ):
        raise errors.PermissionDenied(f"You do not hold {permission.value} on {frozen_part}.")


def _check_exists(scope: FreezeScope, *, ctx: ActingContext) -> None:
    if scope.workflow and policy_selectors.workflow_by_slug(scope.workflow, ctx=ctx) is None:
        raise errors.UnknownWorkflow(
            f"There is no workflow {scope.workflow!r} here.",
            errors=[FieldError("/scope/workflow", "names no workflow", "unknown")],
        )
    if not scope.integration:
        return
    integration = integration_selectors.integration_by_slug(scope.integration, ctx=ctx)
    if integration is None or integration.current_version is None:
        raise errors.UnknownIntegration(
            f"There is no integration {scope.integration!r} here.",
            errors=[FieldError("/scope/integration", "names no integration", "unknown")],
        )
    if scope.action and scope.action not in document_of(integration.current_version).actions:
        raise errors.UnknownAction(
            f"The integration {scope.integration} has no action {scope.action!r}.",
            errors=[FieldError("/scope/action", "names no action of this integration", "unknown")],
        )


def check_may_lift(freeze: Freeze, *, four_eyes: bool, ctx: ActingContext) -> None:
    """Raise `PersonRequired` for a freeze of a person, and with `four_eyes` `SecondPersonRequired`."""
    if four_eyes and not (
        ctx.is_person and is_independent_of(ctx.principal_id, [freeze.set_by], tenant_id=ctx.tenant_id)
    ):
        raise errors.SecondPersonRequired("A person who is independent of the one who set this freeze has to lift it.")
    if ctx.is_person:
        return
    if freeze.set_by is None:
        may_lift = ctx.is_system
    else:
        may_lift = not User.objects.filter(id=freeze.set_by, kind="human").exists()
    if not may_lift:
        raise errors.PersonRequired("A person set this freeze, so a person has to lift it.")


def _committed(freeze: Freeze, reason: str) -> str:
    return commitment(bytes(freeze.reason_salt), reason)


def _record(kind: str, freeze: Freeze, inputs: dict[str, Any], *, ctx: ActingContext) -> None:
    scope = {name: value for name in ("workflow", "integration", "action") if (value := getattr(freeze, name))}
    record(
        Entry(
            kind=kind,
            subject=Subject(workflow=freeze.workflow, integration=freeze.integration),
            inputs={"freeze_id": freeze.public_id, "scope": scope, **inputs},
            outcome={"in_force": freeze.lifted_at is None},
        ),
        ctx=ctx,
    )
