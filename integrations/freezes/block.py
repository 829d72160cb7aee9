"""Blocking of executions while a freeze covers them, and their release afterwards.

A freeze and a lease exclude each other: acquiring a lease takes a shared lock that setting a freeze takes exclusively.
So the executions that a freeze finds running are all that can still be sent, and every later lease sees the freeze.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from django.db import connection
from django.db.models import Q, QuerySet

from integrations.freezes.scope import FreezeScope, Place
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution, Freeze, FreezeBlock
from threada_site.database.batched_writes import insert_rows
from threada_site.database.prepared_reads import PreparedRead
from threada_site.database.sets.shared_reads import shared

_AT_ONCE: Final = 1000
_RELEASE_LIFTED: Final = """
    UPDATE integrations_execution SET blocked_by_freeze_id = NULL WHERE id IN (
        SELECT e.id FROM integrations_freeze f JOIN integrations_execution e
            ON e.tenant_id = f.tenant_id AND e.blocked_by_freeze_id = f.id AND e.status = 'started'
         WHERE f.lifted_at IS NOT NULL AND (%(tenant)s::uuid IS NULL OR f.tenant_id = %(tenant)s::uuid)
         LIMIT %(most)s FOR UPDATE OF e SKIP LOCKED)
"""
_SHARED: Final = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))"
_ALONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"


def lock_leases_out(tenant_id: uuid.UUID) -> None:
    """Wait for leases of the tenant that are being acquired, and prevent new ones until the transaction ends."""
    _lock(_ALONE, tenant_id)


def freezes_in_force(tenant_id: uuid.UUID) -> list[Freeze]:
    """Return the freezes of a tenant that have not been lifted, the oldest first."""
    return _in_force(tenant_id)


def freeze_rows_in_force(tenant_id: uuid.UUID) -> QuerySet[Freeze]:
    """Return the rows of `freezes_in_force`, to be read together with others."""
    return Freeze.objects.filter(tenant_id=tenant_id, lifted_at__isnull=True).order_by("id")


_in_force: Final = PreparedRead(freeze_rows_in_force)


def freeze_before_lease(execution: Execution) -> Freeze | None:
    """Return the freeze that covers an execution. None guarantees that none is set before the transaction ends."""
    shared(("lock for leases", execution.tenant_id), lambda: _lock(_SHARED, execution.tenant_id))
    return freeze_on(freezes_in_force(execution.tenant_id), place_of_execution(execution))


def freeze_on(freezes: Iterable[Freeze], place: Place) -> Freeze | None:
    """Return the first of `freezes` that covers the place."""
    return next((row for row in freezes if row.scope.covers(place)), None)


def place_of_execution(execution: Execution) -> Place:
    """Return the place of an execution, to be compared with the scopes of freezes.

    Threada itself starts an undo at a time, so a freeze of the agent that requested the action does not cover it.
    """
    requested_by = None if execution.is_timed_undo else execution.requested_by
    return Place(execution.workflow, execution.integration, execution.action, requested_by)


def block_by_freeze(execution: Execution, freeze: Freeze, *, now: datetime) -> bool:
    """Note on a locked execution which freeze blocks it, and list it at the freeze. Return False if it was noted
    already."""
    is_new = execution.blocked_by_freeze_id != freeze.id
    execution.blocked_by_freeze = freeze
    execution.blocked_at = execution.blocked_at or now
    execution.dispatched_at = None
    execution.save(update_fields=["blocked_by_freeze", "blocked_at", "dispatched_at"])
    if is_new:
        block = FreezeBlock(
            tenant_id=execution.tenant_id, freeze_id=freeze.id, execution_id=execution.id, blocked_at=now
        )
        insert_rows(block, ignore_conflicts=True)
    return is_new


def release_from_freeze(execution: Execution, *, now: datetime) -> None:
    """Release a locked execution. The time it was blocked does not count towards the time for its attempts."""
    if execution.tries_began_at is not None and execution.blocked_at is not None:
        execution.tries_began_at += now - max(execution.blocked_at, execution.tries_began_at)
    execution.blocked_by_freeze = None
    execution.blocked_at = None
    execution.save(update_fields=["blocked_by_freeze", "blocked_at", "tries_began_at"])


def executions_in(scope: FreezeScope, *, tenant_id: uuid.UUID, status: ExecutionStatus) -> QuerySet[Execution]:
    """Return the executions that a freeze of this scope covers."""
    wanted = Q()
    for column in ("workflow", "integration", "action"):
        if value := getattr(scope, column):
            wanted &= Q(**{column: value})
    if scope.principal:
        wanted &= Q(requested_by=scope.principal_id, is_timed_undo=False)
    return Execution.objects.filter(wanted, tenant_id=tenant_id, status=status).order_by("id")


def release_lifted(*, tenant_id: uuid.UUID | None = None) -> int:
    """Release executions whose freeze was lifted, up to 1,000 per call, skipping locked rows. Return how many.

    Without `tenant_id` (which needs the platform's role), of all tenants.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE_LIFTED, {"tenant": tenant_id, "most": _AT_ONCE})
        return cursor.rowcount


def _lock(statement: str, tenant_id: uuid.UUID) -> None:
    with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
        cursor.execute(statement, [f"freeze:{tenant_id}"])
