"""The unit of work: one transaction in one tenant.

Outside of one, tenant tables show no rows. Services never open one themselves; the door does (view, console page,
job, command), so that lock, check, change and receipt commit together or not at all.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from django.db import transaction

from threada_site.database.router import read_alias, read_connection

_forgetting: Final[list[Callable[[], None]]] = []


class NestedTenantError(RuntimeError):
    """A unit of work of one tenant was opened inside another tenant's. That is a defect, never a user's error."""


class OutsideUnitOfWorkError(RuntimeError):
    """A service was called without a unit of work. That is a defect, never a user's error."""


@contextmanager
def unit_of_work(tenant_id: uuid.UUID) -> Iterator[None]:
    """A transaction in which the rows of `tenant_id`, and no others, can be read and written.

    May be nested under the same tenant (it is then a savepoint). Restores the outer state itself, because a released
    savepoint keeps settings made inside it.
    """
    outer = current_tenant_id()
    if outer is not None and outer != tenant_id:
        raise NestedTenantError(f"a unit of work of tenant {tenant_id} was opened inside one of {outer}")
    with transaction.atomic(using=read_alias()):
        _set(tenant_id)
        with _restored(outer):
            yield


@contextmanager
def entered_unit_of_work() -> Iterator[None]:
    """A transaction whose tenant `enter` sets once the credential is known: the API's outermost block."""
    outer = current_tenant_id()
    with transaction.atomic(using=read_alias()), _restored(outer):
        yield


def when_forgotten(forget: Callable[[], None]) -> Callable[[], None]:
    """Have `forget` called when a unit of work ends, and when a nested one is rolled back: what was read is stale."""
    _forgetting.append(forget)
    return forget


def mark_entered(tenant_id: uuid.UUID) -> None:
    """Note that SQL has already set the tenant of this transaction."""
    read_connection().threada_tenant = tenant_id


def current_tenant_id() -> uuid.UUID | None:
    """The tenant of the unit of work that is open on this connection, or None."""
    return getattr(read_connection(), "threada_tenant", None)


def require_unit_of_work(tenant_id: uuid.UUID) -> None:
    """Refuse to go on unless a unit of work of `tenant_id` is open."""
    if current_tenant_id() != tenant_id or not read_connection().in_atomic_block:
        raise OutsideUnitOfWorkError(f"no unit of work of tenant {tenant_id} is open")


def _set(tenant_id: uuid.UUID | None) -> None:
    connection = read_connection()
    with connection.prepared_cursor() as cursor:
        cursor.execute("SELECT set_config('app.tenant', $1, true)", [str(tenant_id) if tenant_id else ""])
    connection.threada_tenant = tenant_id


@contextmanager
def _restored(outer: uuid.UUID | None) -> Iterator[None]:
    """Hand the outer tenant back. A rollback undoes the setting by itself; a commit ends it with the transaction; only
    inside an outer transaction (a nested unit, a test) does it have to be set back."""
    connection = read_connection()
    try:
        yield
    except BaseException:
        connection.threada_tenant = outer
        _forget()
        raise
    if connection.savepoint_ids and not connection.needs_rollback:
        _set(outer)
    connection.threada_tenant = outer
    if outer is None:
        _forget()


def _forget() -> None:
    for forget in _forgetting:
        forget()
