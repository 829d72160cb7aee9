"""Which replicas this process reads from. One that fails is left alone for a while, then tried by one read.

Before its first use in a process, and after each failure, a replica is held to what it must be: a copy, in recovery, of
the very server that the primary is, under a login that row-level security holds for.
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

from threada_site.database.isolation_checks import login_problems
from threada_site.kernel.metrics import Metric

FAILED_BACKOFF_S: Final = 5.0
UNFIT_BACKOFF_S: Final = 60.0
BEHIND_BACKOFF_S: Final = 1.0
SECONDS_BETWEEN_LINES: Final = 10.0

log = structlog.get_logger("threada.replica")


class UnfitReplicaError(RuntimeError):
    """What a replica's address names must not be read from; the message says why."""


class Replica:
    """One replica, as this process has found it. Threads share it."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self._lock = threading.Lock()
        self._is_trusted = False
        self._resume_at = float("-inf")
        self._said_at = float("-inf")
        self._reads_left = 0
        self._failures = 0

    def take(self) -> bool:
        """Whether to read from it now. While it is on trial, one read at a time tries."""
        if self._is_trusted:
            return True
        with self._lock:
            if time.monotonic() < self._resume_at:
                return False
            self._resume_at = time.monotonic() + FAILED_BACKOFF_S
            return True

    def admit(self) -> None:
        """Make sure that it is what it must be. Raises `UnfitReplicaError`, `DatabaseError` and `InterfaceError`."""
        connection: Any = connections[self.alias]
        if getattr(connection, "threada_failures", 0) != self._failures:
            connection.close()  # opened by this thread before a failure that another one met
            connection.threada_failures = self._failures
        if self._is_trusted:
            return
        problems = list(problems_of(self.alias))
        if problems:
            raise UnfitReplicaError("; ".join(problems))
        self._is_trusted = True

    def leave(self, reason: str, *, backoff_s: float, error: object = "") -> None:
        """A read goes to the primary instead. Without a rest, the next one may come here again."""
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
    """The next replica that can be used, in turn; None: the primary."""
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
    """Begin anew, knowing nothing of any replica."""
    _replicas.clear()


def problems_of(alias: str) -> Iterator[str]:
    """Why `alias` must not be read from. Raises `DatabaseError` and `InterfaceError` where it cannot be asked."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery(), (SELECT system_identifier FROM pg_control_system())")
        is_in_recovery, its_identifier = cursor.fetchone()
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT system_identifier FROM pg_control_system()), current_setting('synchronous_commit')"
        )
        identifier, commit = cursor.fetchone()
    if its_identifier != identifier:
        yield f"{alias} is no copy of this database: its system identifier is another"
    elif not is_in_recovery:
        yield f"{alias} is no replica: it is not in recovery"
    if commit == "off":
        yield "synchronous_commit is off: what was committed could not be told from what was not"
    for problem in login_problems(connections[alias]):
        yield f"on {alias}, {problem}"


def replica_problems() -> list[str]:
    """What is wrong with the replicas that answer; empty when all is well. One that is down is no problem: reads go to
    the primary until it is back, and it is asked the same before it is used."""
    problems: list[str] = []
    for alias in settings.THREADA_REPLICAS:
        try:
            problems += problems_of(alias)
        except (DatabaseError, InterfaceError) as error:
            log.warning("replica_unreachable", replica=alias, error=str(error).strip())
    return problems


def replica_metrics() -> Iterator[Metric]:
    """Which replicas answer, and how many bytes of WAL each has still to replay."""
    for alias in settings.THREADA_REPLICAS:
        behind = _bytes_behind(alias)
        labels = (("replica", alias),)
        yield Metric("threada_replica_up", "1 where the replica answers.", float(behind is not None), labels)
        if behind is not None:
            yield Metric("threada_replica_behind_bytes", "WAL that the replica has to replay.", behind, labels)


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
