"""Reads from a replica that has replayed everything the primary had written, otherwise from the primary.

Replicas lag. The primary returns its log position when the request arrives, and a replica answers only once it has
replayed that position. So a read sees every earlier write, and a slow or unreachable replica costs time but no answer.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from django import db
from django.conf import settings
from django.db import connection, connections

from threada_site.database.replicas import (
    BEHIND_BACKOFF_S,
    FAILED_BACKOFF_S,
    UNFIT_BACKOFF_S,
    Replica,
    UnfitReplicaError,
    replica_to_read,
)
from threada_site.database.router import WriteWhileReadingError, reading_from
from threada_site.database.unit_of_work import current_tenant_id, entered_unit_of_work, mark_entered, unit_of_work
from threada_site.kernel.context import ActingContext, Visibility

POSITION: Final = "pg_current_wal_flush_lsn()::text"
"""SQL for the primary's log position: every commit that was acknowledged is before it."""
_ENTER: Final = (
    "SELECT set_config('app.tenant', %s, true), set_config('app.visibility', %s, true), "
    "set_config('app.principal', %s, true), set_config('transaction_read_only', 'on', true), "
    "pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= %s::pg_lsn"
)
_LOOK: Final = "SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= %s::pg_lsn"
_FIRST_PAUSE_S: Final = 0.001
_LONGEST_PAUSE_S: Final = 0.05
# Conflicts with recovery, statement timeouts and locks. The next read may succeed.
_PASSING: Final = frozenset({"40001", "40P01", "55P03", "57014"})
_READ_ONLY: Final = "25006"


class BehindError(Exception):
    """The replica has not replayed enough in time."""


def position_now() -> str | None:
    """Return the primary's log position, which `read` shall see. One statement; without replicas None, and no
    statement."""
    if not settings.THREADA_REPLICAS:
        return None
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {POSITION}")
        position: str = cursor.fetchone()[0]
    return position


def read[T](
    tenant_id: uuid.UUID,
    answer: Callable[[], T],
    *,
    since: str | None,
    actor: ActingContext | None = None,
    patience_s: float | None = None,
) -> T:
    """Return the result of `answer`, called in a unit of work on a replica that has replayed `since`, else on the
    primary.

    `answer` must only read, and may be called twice. Without `since` the primary is used. Waits for the replica at most
    `patience_s` seconds (default: a setting). Reads with the visibility of `actor`; without one, the whole tenant.
    Raise what `answer` raises, and `WriteWhileReadingError`.
    """
    replica = replica_to_read() if since is not None else None
    if replica is not None and since is not None:
        patience = settings.THREADA_REPLICA_WAIT_MS / 1000 if patience_s is None else patience_s
        try:
            replica.admit()
            with _unit_of_work_on(replica.alias, tenant_id, actor, since, patience):
                return answer()
        except (BehindError, UnfitReplicaError, db.Error, psycopg.Error) as error:
            _leave(replica, error)
    if current_tenant_id() == tenant_id:
        return answer()
    with unit_of_work(tenant_id, actor=actor):
        return answer()


@contextmanager
def _unit_of_work_on(
    alias: str, tenant_id: uuid.UUID, actor: ActingContext | None, since: str, patience_s: float
) -> Iterator[None]:
    with reading_from(alias), entered_unit_of_work():
        _enter(alias, tenant_id, actor, since, patience_s)
        yield


def _enter(alias: str, tenant_id: uuid.UUID, actor: ActingContext | None, since: str, patience_s: float) -> None:
    visibility = actor.row_visibility if actor else Visibility.TENANT
    deadline = time.monotonic() + patience_s
    pause = _FIRST_PAUSE_S
    with connections[alias].cursor() as cursor:
        cursor.execute(_ENTER, [str(tenant_id), visibility, str(actor.principal_id) if actor else "", since])
        is_there = cursor.fetchone()[4]
        while not is_there:
            left = deadline - time.monotonic()
            if left <= 0:
                raise BehindError
            time.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE_S)
            cursor.execute(_LOOK, [since])
            is_there = cursor.fetchone()[0]
    mark_entered(tenant_id, visibility)


def _leave(replica: Replica, error: Exception) -> None:
    """Record why a read leaves the replica. Raise if the reason is a write, which is a programming error."""
    if isinstance(error, BehindError):
        replica.leave("behind", backoff_s=BEHIND_BACKOFF_S)
        return
    if isinstance(error, UnfitReplicaError):
        replica.leave("unfit", backoff_s=UNFIT_BACKOFF_S, error=error)
        return
    state = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None)
    if state == _READ_ONLY:
        raise WriteWhileReadingError("nothing is written inside a block that reads from a replica") from error
    is_broken = isinstance(error, db.OperationalError | db.InterfaceError | psycopg.OperationalError)
    if is_broken:
        connections[replica.alias].close()
    backoff_s = FAILED_BACKOFF_S if is_broken and state not in _PASSING else 0.0
    replica.leave("failed" if backoff_s else "cancelled", backoff_s=backoff_s, error=error)
