"""The unit of work: one transaction in one tenant.

Outside a unit of work, tenant tables show no rows. Services never open one; entry points do (view, console page, job,
command), so that lock, check, change and receipt commit together or not at all.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from django.db import transaction

from threada_site.database.router import read_alias, read_connection
from threada_site.kernel.context import ActingContext

_forgetting: Final[list[Callable[[], None]]] = []


class NestedTenantError(RuntimeError):
    """A unit of work was opened inside that of another tenant. This is a programming error, never a user's error."""


class OutsideUnitOfWorkError(RuntimeError):
    """A service was called without a unit of work. This is a programming error, never a user's error."""


@contextmanager
def unit_of_work(tenant_id: uuid.UUID, *, actor: ActingContext | None = None) -> Iterator[None]:
    """Open a transaction in which the rows of `tenant_id`, and no others, can be read and written.

    `actor` is named by the log of configuration edits; None keeps that of the outer unit of work.
    May be nested under the same tenant; it is then a savepoint. It restores the outer state itself, because a released
    savepoint keeps settings made inside it.
    """
    outer = current_tenant_id()
    if outer is not None and outer != tenant_id:
        raise NestedTenantError(f"a unit of work of tenant {tenant_id} was opened inside one of {outer}")
    with transaction.atomic(using=read_alias()):
        _set(tenant_id)
        with _restored(outer):
            if actor is not None:
                set_actor(actor)
            yield


@contextmanager
def entered_unit_of_work() -> Iterator[None]:
    """Open a transaction whose tenant `mark_entered` sets once the credential is known: the API's outermost block."""
    outer = current_tenant_id()
    with transaction.atomic(using=read_alias()), _restored(outer):
        yield


def on_unit_of_work_end(forget: Callable[[], None]) -> Callable[[], None]:
    """Register `forget`, called when a unit of work ends or a nested one is rolled back, because cached reads are stale
    then."""
    _forgetting.append(forget)
    return forget


def mark_entered(tenant_id: uuid.UUID) -> None:
    """Record that SQL has already set the tenant of this transaction."""
    read_connection().threada_tenant = tenant_id


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


def require_unit_of_work(tenant_id: uuid.UUID) -> None:
    """Raise `OutsideUnitOfWorkError` unless a unit of work of `tenant_id` is open."""
    if current_tenant_id() != tenant_id or not read_connection().in_atomic_block:
        raise OutsideUnitOfWorkError(f"no unit of work of tenant {tenant_id} is open")


def _set(tenant_id: uuid.UUID | None) -> None:
    connection = read_connection()
    with connection.prepared_cursor() as cursor:
        cursor.execute("SELECT set_config('app.tenant', $1, true)", [str(tenant_id) if tenant_id else ""])
    connection.threada_tenant = tenant_id


@contextmanager
def _restored(outer: uuid.UUID | None) -> Iterator[None]:
    """Restore the outer tenant and actor at the end.

    A rollback reverts the setting, and a commit ends it with the transaction. Only inside an outer transaction (a
    nested unit of work, a test) must it be set again.
    """
    connection = read_connection()
    outer_actor = current_actor()
    try:
        yield
    except BaseException:
        connection.threada_tenant, connection.threada_actor = outer, outer_actor
        _forget()
        raise
    if connection.savepoint_ids and not connection.needs_rollback:
        _set(outer)
    connection.threada_tenant, connection.threada_actor = outer, outer_actor
    if outer is None:
        _forget()


def _forget() -> None:
    for forget in _forgetting:
        forget()
