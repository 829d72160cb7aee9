"""The unit of work: one transaction in one tenant.

Outside a unit of work, tenant tables show no rows. A unit of work with an actor reads with the visibility of the actor;
one without (jobs, sweeps, commands) reads the whole tenant. Services check the object that they are given and then work
on the whole tenant, so that counts, gauges and locks include the cases that the actor may not read.

Services never open a unit of work; entry points do (view, console page, job, command), so that lock, check, change and
receipt commit together or not at all.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from django.db import transaction

from threada_site.database.router import read_alias, read_connection
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Visibility

LONGEST_S: Final = 240.0
"""Most seconds from the beginning to the commit of a unit of work that writes receipts.

The sealer states that a log is complete until five minutes ago. A receipt that became visible later would be refused.
"""
_forgetting: Final[list[Callable[[], None]]] = []


class NestedTenantError(RuntimeError):
    """A unit of work was opened inside that of another tenant. This is a programming error, never a user's error."""


class OutsideUnitOfWorkError(RuntimeError):
    """A service was called without a unit of work. This is a programming error, never a user's error."""


@contextmanager
def unit_of_work(tenant_id: uuid.UUID, *, actor: ActingContext | None = None) -> Iterator[None]:
    """Open a transaction in which the rows of `tenant_id`, and no others, can be read and written.

    The actor sees the work items that its visibility allows, and is named by the log of configuration edits. Without an
    actor, a nested unit of work keeps the actor and the visibility of the outer one; others see the whole tenant.
    May be nested under the same tenant; it is then a savepoint. It restores the outer state itself, because a released
    savepoint keeps settings made inside it.
    """
    outer = current_tenant_id()
    if outer is not None and outer != tenant_id:
        raise NestedTenantError(f"a unit of work of tenant {tenant_id} was opened inside one of {outer}")
    with transaction.atomic(using=read_alias()), _restored(outer):
        if actor is not None:
            _set(tenant_id, actor.row_visibility, actor.principal_id)
            set_actor(actor)
        else:
            _set(tenant_id, (current_visibility() if outer else None) or Visibility.TENANT)
        yield


@contextmanager
def entered_unit_of_work() -> Iterator[None]:
    """Open a transaction whose tenant `mark_entered` sets once the credential is known: the API's outermost block."""
    outer = current_tenant_id()
    with transaction.atomic(using=read_alias()), _restored(outer):
        yield


def receipt_written() -> None:
    """Record that the open unit of work writes a receipt, so that it is rolled back if it takes too long."""
    read_connection().threada_writes_receipts = True


def restart_age() -> None:
    """Count the age of the open unit of work from now on: for commands that wrote no receipt yet, and whose receipts
    follow at the end. Raise `RuntimeError` after a receipt."""
    connection = read_connection()
    if connection.threada_writes_receipts:
        raise RuntimeError("a unit of work that wrote a receipt goes on ageing")
    connection.threada_started = time.monotonic()


def on_unit_of_work_end(forget: Callable[[], None]) -> Callable[[], None]:
    """Register `forget`, called when a unit of work ends or a nested one is rolled back, because cached reads are stale
    then."""
    _forgetting.append(forget)
    return forget


def mark_entered(tenant_id: uuid.UUID, visibility: Visibility = Visibility.TENANT) -> None:
    """Record that SQL has already set the tenant and the visibility of this transaction."""
    connection = read_connection()
    connection.threada_tenant, connection.threada_visibility = tenant_id, visibility


def set_visibility(ctx: ActingContext) -> None:
    """Set the visibility of the open unit of work to that of `ctx`."""
    _set(ctx.tenant_id, ctx.row_visibility, ctx.principal_id)


def set_actor(ctx: ActingContext) -> None:
    """Name the actor of the open unit of work, once the credential is known."""
    read_connection().threada_actor = ctx


def current_actor() -> ActingContext | None:
    """Return the actor of the open unit of work, or None.

    For the log of configuration edits, which sees rows only. Everything else is passed `ctx`.
    """
    return getattr(read_connection(), "threada_actor", None)


def current_tenant_id() -> uuid.UUID | None:
    """Return the tenant of the unit of work that is open on this connection, or None."""
    return getattr(read_connection(), "threada_tenant", None)


def current_visibility() -> Visibility | None:
    """Return the visibility of the open unit of work, or None."""
    return getattr(read_connection(), "threada_visibility", None)


def require_unit_of_work(tenant_id: uuid.UUID, *, reads_cases: bool = True) -> None:
    """Raise `OutsideUnitOfWorkError` unless a unit of work of `tenant_id` is open. Then work on the whole tenant.

    Every service calls this first. With `reads_cases=False`, for services that read no case, the visibility of the
    actor is kept, which saves a statement.
    """
    if current_tenant_id() != tenant_id or not read_connection().in_atomic_block:
        raise OutsideUnitOfWorkError(f"no unit of work of tenant {tenant_id} is open")
    if reads_cases and current_visibility() is not Visibility.TENANT:
        _set(tenant_id, Visibility.TENANT)


def _set(tenant_id: uuid.UUID | None, visibility: Visibility | None, principal_id: uuid.UUID | None = None) -> None:
    """Set tenant, visibility and principal of the transaction. Without a principal, the one already set is kept."""
    connection = read_connection()
    with connection.prepared_cursor() as cursor:
        cursor.execute(
            "SELECT set_config('app.tenant', $1, true), set_config('app.visibility', $2, true), "
            "set_config('app.principal', coalesce($3::text, current_setting('app.principal', true), ''), true)",
            [str(tenant_id or ""), visibility or "", str(principal_id) if principal_id else None],
        )
    connection.threada_tenant, connection.threada_visibility = tenant_id, visibility


@contextmanager
def _restored(outer: uuid.UUID | None) -> Iterator[None]:
    """Restore the outer tenant, visibility and actor at the end.

    A rollback reverts the settings, and a commit ends it with the transaction. Only inside an outer transaction (a
    nested unit of work, a test) must they be set again.
    """
    connection = read_connection()
    outer_actor, outer_visibility = current_actor(), current_visibility()
    if outer is None:
        connection.threada_started, connection.threada_writes_receipts = time.monotonic(), False
    try:
        yield
        if outer is None and connection.threada_writes_receipts:
            _require_young(time.monotonic() - connection.threada_started)
    except BaseException:
        connection.threada_tenant, connection.threada_visibility = outer, outer_visibility
        connection.threada_actor = outer_actor
        _forget()
        raise
    if connection.savepoint_ids and not connection.needs_rollback:
        _set(outer, outer_visibility, outer_actor.principal_id if outer_actor else None)
    connection.threada_tenant, connection.threada_visibility = outer, outer_visibility
    connection.threada_actor = outer_actor
    if outer is None:
        _forget()


def _require_young(age: float) -> None:
    """Raise `WorkTooLong` for a unit of work whose receipts would come after the log was said to be complete."""
    if age > LONGEST_S:
        raise errors.WorkTooLong


def _forget() -> None:
    for forget in _forgetting:
        forget()
