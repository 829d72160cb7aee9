"""Freezes in force as SQL conditions, for lists and counts. `integrations.freezes.block` decides before a call."""

from __future__ import annotations

import uuid

from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.lookups import Exact

from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution, Freeze


def is_covered(tenant_id: uuid.UUID) -> Exists:
    """Return the condition of executions that a freeze in force covers."""
    return Exists(
        _in_force(tenant_id).filter(
            Q(integration="") | Q(integration=OuterRef("integration")),
            Q(action="") | Q(action=OuterRef("action")),
            Q(principal="") | Q(Exact(OuterRef("is_timed_undo"), Value(False)), principal_id=OuterRef("requested_by")),
        )
    )


def is_blocked(tenant_id: uuid.UUID) -> Q:
    """Return the condition of executions that are not sent because of a freeze."""
    return Q(is_covered(tenant_id), status=ExecutionStatus.STARTED)


def is_step_covered(tenant_id: uuid.UUID) -> Q:
    """Return the condition of decision steps that a freeze in force covers: their workflow, their action, or who
    requested it."""
    about = Execution.objects.filter(is_covered(tenant_id), tenant_id=tenant_id, id=OuterRef("execution_id"))
    return Q(Exists(_in_force(tenant_id).filter(integration="", principal=""))) | Q(Exists(about))


def has_blocked_execution(tenant_id: uuid.UUID) -> Exists:
    """Return the condition of work items with an execution that is not sent because of a freeze."""
    return Exists(Execution.objects.filter(is_blocked(tenant_id), tenant_id=tenant_id, work_item_id=OuterRef("id")))


def _in_force(tenant_id: uuid.UUID) -> QuerySet[Freeze]:
    """Return the freezes in force that cover the workflow of the outer row."""
    rows = Freeze.objects.filter(tenant_id=tenant_id, lifted_at__isnull=True)
    return rows.filter(Q(workflow="") | Q(workflow=OuterRef("workflow")))
