"""Replicas that this process reads from. A failed replica is not used for a while, then tried by one read.

Before first use in a process, and after each failure, a replica is verified: it must be a copy, in recovery, of the
primary itself, with a login that is subject to row-level security.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections

from threada_site.database.login_checks import login_problems
from threada_site.kernel.metrics import Metric

FAILED_BACKOFF_S: Final = 5.0
UNFIT_BACKOFF_S: Final = 60.0
BEHIND_BACKOFF_S: Final = 1.0
SECONDS_BETWEEN_LINES: Final = 10.0

log = structlog.get_logger("threada.replica")


class UnfitReplicaError(RuntimeError):
    """The address of a replica must not be read from; the message says why."""


class Replica:
    """State of one replica as seen by this process. Shared by threads."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._lock = threading.Lock()
        self._is_trusted = False
        self._resume_at = float("-inf")
        self._said_at = float("-inf")
        self._reads_left = 0
        self._failures = 0

    def take(self) -> bool:
        """Return True if it may be read from now. While it is on trial, one read at a time is let through."""
        if self._is_trusted:
            return True
        with self._lock:
            if time.monotonic() < self._resume_at:
                return False
            self._resume_at = time.monotonic() + FAILED_BACKOFF_S
            return True

    def admit(self) -> None:
        """Verify the replica. Raise `UnfitReplicaError`, `DatabaseError` and `InterfaceError`."""
        connection: Any = connections[self.alias]
        if getattr(connection, "threada_failures", 0) != self._failures:
            connection.close()  # opened by this thread before a failure in another thread
            connection.threada_failures = self._failures
        if self._is_trusted:
            return
        problems = list(problems_of(self.alias))
        if problems:
            raise UnfitReplicaError("; ".join(problems))
        self._is_trusted = True

    def leave(self, reason: str, *, backoff_s: float, error: object = "") -> None:
        """Record that a read goes to the primary instead. Without a backoff, the next read may use the replica
        again."""
        with self._lock:
            self._reads_left += 1
            if backoff_s:
                self._failures += 1
                self._is_trusted = False
                self._resume_at = time.monotonic() + backoff_s
            if time.monotonic() - self._said_at < SECONDS_BETWEEN_LINES:
                return
            self._said_at, reads, self._reads_left = time.monotonic(), self._reads_left, 0
        log.warning("replica_left_out", replica=self.alias, reason=reason, error=str(error).strip(), reads=reads)


_replicas: dict[str, Replica] = {}
_turn = itertools.count()


def replica_to_read() -> Replica | None:
    """Return the next usable replica, in rotation, or None to read from the primary."""
    names: list[str] = settings.THREADA_REPLICAS
    if not names:
        return None
    start = next(_turn)
    for step in range(len(names)):
        name = names[(start + step) % len(names)]
        replica = _replicas.get(name) or _replicas.setdefault(name, Replica(name))
        if replica.take():
            return replica
    return None


def forget_replicas() -> None:
    """Reset the state of all replicas."""
    _replicas.clear()


def problems_of(alias: str) -> Iterator[str]:
    """Yield why `alias` must not be read from. Raise `DatabaseError` and `InterfaceError` if it cannot be asked."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system())")
        is_in_recovery, its_identifier = cursor.fetchone()
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT system_identifier FROM pg_control_system()), current_setting('synchronous_commit')"
        )
        identifier, commit = cursor.fetchone()
    if its_identifier != identifier:
        yield f"{alias} is not a copy of this database: its system identifier is another"
    elif not is_in_recovery:
        yield f"{alias} is not a replica: it is not in recovery"
    if commit == "off":
        yield "synchronous_commit is off: what was committed could not be told from what was not"
    for problem in login_problems(connections[alias]):
        yield f"on {alias}, {problem}"


def replica_problems() -> list[str]:
    """Return what is wrong with the replicas that answer. Empty if all is well.

    An unreachable replica is no problem: reads go to the primary, and it is verified before it is used again.
    """
    problems: list[str] = []
    for alias in settings.THREADA_REPLICAS:
        try:
            problems += problems_of(alias)
        except (DatabaseError, InterfaceError) as error:
            log.warning("replica_unreachable", replica=alias, error=str(error).strip())
    return problems


def replica_metrics() -> Iterator[Metric]:
    """Yield for each replica whether it answers, and how many bytes of WAL it has still to replay."""
    for alias in settings.THREADA_REPLICAS:
        behind = _bytes_behind(alias)
        labels = (("replica", alias),)
        yield Metric("threada_replica_up", "1 if the replica answers, else 0.", float(behind is not None), labels)
        if behind is not None:
            yield Metric(
                "threada_replica_behind_bytes", "Bytes of WAL that the replica has not replayed.", behind, labels
            )


def _bytes_behind(alias: str) -> float | None:
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_flush_lsn()::text")
        (position,) = cursor.fetchone()
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT greatest(pg_wal_lsn_diff(%s, pg_last_wal_replay_lsn()), 0)", [position])
            row: Any = cursor.fetchone()
    except (DatabaseError, InterfaceError):
        connections[alias].close()
        return None
    return None if row[0] is None else float(row[0])
