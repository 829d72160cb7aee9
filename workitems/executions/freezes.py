"""Freezes: stop and resume the executions of a scope, and extend the deadlines of its steps."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from integrations.executions.dispatch import dispatch_waiting
from integrations.freezes.block import executions_in, lock_leases_out, release_lifted
from integrations.freezes.scope import FreezeScope
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution, Freeze, FreezeBlock
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import commitment
from threada_site.tenancy.four_eyes import FREEZE_FOUR_EYES, is_four_eyes_required
from workitems.executions.freezing.deadlines import move_deadlines
from workitems.executions.freezing.permissions import (
    check_exists,
    check_may_lift,
    check_permission,
    is_own_freeze,
    is_owner,
    member_in,
)

MOST_NAMED: Final = 200


@dataclass(frozen=True, slots=True)
class Stopped:
    """New freeze, and the executions in its scope that are running and cannot be recalled."""

    freeze: Freeze
    in_flight: list[Execution]


def set_freeze(scope: FreezeScope, *, reason: str, ctx: ActingContext) -> Stopped:
    """Stop every execution in `scope` that is not running yet, and every request of a frozen agent or service.

    The owner of an agent or service may freeze it without `actions:freeze`. Receipt `freeze.set`, with the running
    executions. Raises `PermissionDenied`, `UnknownWorkflow`, `UnknownIntegration`, `UnknownAction`, `InvalidRequest`
    (no reason, or no agent or service of this name).
    """
    require_unit_of_work(ctx.tenant_id)
    member = member_in(scope, ctx=ctx)
    if member is None or not is_owner(member, ctx=ctx):
        check_permission(scope, Scope.ACTIONS_FREEZE, ctx=ctx)
    check_exists(scope, member, ctx=ctx)
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
        principal=scope.principal,
        principal_id=member.user_id if member else None,
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

    A freeze that a person set is lifted by a person, one that the operator set also by the operator. The owner of an
    agent lifts the own freeze of it without `integrations:manage`. Receipt `freeze.lifted`. Raises `NotFound`,
    `PermissionDenied`, `FreezeLifted`, `PersonRequired`, `SecondPersonRequired`.
    """
    require_unit_of_work(ctx.tenant_id)
    freeze = Freeze.objects.select_for_update().filter(tenant_id=ctx.tenant_id, id=freeze_id).first()
    if freeze is None:
        raise errors.NotFound
    if not is_own_freeze(freeze, ctx=ctx):
        check_permission(freeze.scope, Scope.INTEGRATIONS_MANAGE, ctx=ctx)
    if freeze.lifted_at is not None:
        raise errors.FreezeLifted("This freeze has been lifted already.")
    check_may_lift(freeze, four_eyes=is_four_eyes_required(ctx.tenant_id, FREEZE_FOUR_EYES), ctx=ctx)
    freeze.lifted_at = clock.now()
    freeze.lifted_by = None if ctx.is_system else ctx.principal_id
    freeze.lifted_reason = reason
    freeze.save(update_fields=["lifted_at", "lifted_by", "lifted_reason"])
    steps_moved = move_deadlines(freeze, ctx=ctx)
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


def _committed(freeze: Freeze, reason: str) -> str:
    return commitment(bytes(freeze.reason_salt), reason)


def _record(kind: str, freeze: Freeze, inputs: dict[str, Any], *, ctx: ActingContext) -> None:
    scope = {
        name: value for name in ("workflow", "integration", "action", "principal") if (value := getattr(freeze, name))
    }
    record(
        Entry(
            kind=kind,
            subject=Subject(workflow=freeze.workflow, integration=freeze.integration),
            inputs={"freeze_id": freeze.public_id, "scope": scope, **inputs},
            outcome={"in_force": freeze.lifted_at is None},
        ),
        ctx=ctx,
    )
