"""Contents of the page of one execution."""

from __future__ import annotations

from typing import Any

import orjson

from integrations import selectors as integration_selectors
from integrations.executions.receiver_key import receiver_key
from integrations.freezes.block import freeze_on, freezes_in_force, place_of_execution
from integrations.lifecycle import ExecutionStatus
from integrations.models import Attempt, Execution, Freeze, IntegrationGauge
from threada_site.admin.background import pulse_of
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import REASONS
from threada_site.tenancy.models import User
from workitems import selectors
from workitems.admin.contents import input_of, resembling_in
from workitems.admin.sent import end_in_words
from workitems.executions.dead_letters import only_dead_letters
from workitems.executions.undo import undo_of, undoing_of
from workitems.items.participants import had_no_part
from workitems.items.sensitive import record_reading
from workitems.items.titles import title_of
from workitems.models import DecisionStep


def execution_page(row: Execution, *, ctx: ActingContext) -> dict[str, Any]:
    """Return the template context of an execution: its request, attempts and steps, and what the reader may do.

    Reading one of a sensitive work item leaves a receipt.
    """
    item = selectors.work_item(row.work_item_id, ctx=ctx)
    if item is not None:
        record_reading(item, ctx=ctx, execution=row)
    resembling = resembling_in(item, ctx=ctx) if item is not None else frozenset()
    status = ExecutionStatus(row.status)
    may_execute = item is not None and ctx.allows(Scope.ACTIONS_EXECUTE, workflow=item.workflow_version.workflow_id)
    return {
        "pulse": pulse_of("execution", row.public_id, status=row.status),
        "item": item,
        "item_title": title_of(item) if item else "",
        "envelope_fields": orjson.loads(bytes(row.envelope.body)),
        "envelope_text": bytes(row.envelope.body).decode(),
        "ends": end_in_words(orjson.loads(bytes(row.envelope.body))) if not row.finished_at else "",
        "input": input_of(row, resembling=resembling, ctx=ctx),
        "resembling": resembling,
        "attempts": Attempt.objects.filter(tenant_id=ctx.tenant_id, execution=row).order_by("-number"),
        "steps": DecisionStep.objects.filter(tenant_id=ctx.tenant_id, execution=row).order_by("-id"),
        "requested_by": User.objects.filter(id=row.requested_by).first(),
        "failure": REASONS.get(row.failure),
        "undo_problem": REASONS.get(row.undo_problem),
        "is_overdue": row.undo_due_at is not None and row.undo_due_at <= clock.now(),
        "receiver_key": receiver_key(row.id),
        "may_cancel": may_execute
        and status in (ExecutionStatus.AWAITING_APPROVAL, ExecutionStatus.STARTED)
        and not integration_selectors.may_have_acted(row),
        "may_retry": may_execute and only_dead_letters(Execution.objects.filter(id=row.id)).exists(),
        "gauge": _gauge(row),
        "held_by": _freeze_of(row),
        "undo": undo_of(row) if may_execute else None,
        "undoes": ids.public_id(ids.EXECUTION, row.undoes_id) if row.undoes_id else "",
        "undoing": undoing_of(row),
        "may_reconcile": item is not None
        and may_execute
        and status is ExecutionStatus.OUTCOME_UNKNOWN
        and had_no_part(item, row, ctx=ctx),
        "needs_new_execution": status is ExecutionStatus.FAILED and not row.is_repeatable,
    }


def _freeze_of(row: Execution) -> Freeze | None:
    """Return the freeze in force that keeps an execution from being sent, or would after its approval."""
    if row.status not in (ExecutionStatus.STARTED, ExecutionStatus.AWAITING_APPROVAL):
        return None
    freezes = freezes_in_force(row.tenant_id)
    return freeze_on(freezes, place_of_execution(row))


def _gauge(row: Execution) -> IntegrationGauge | None:
    """Return the limits that delay a queued execution; None if it is not delayed."""
    if row.status != ExecutionStatus.STARTED or not row.waits_for:
        return None
    return IntegrationGauge.objects.filter(
        tenant_id=row.tenant_id, integration__slug=row.integration, waits_until__gt=clock.now()
    ).first()
