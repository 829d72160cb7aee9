"""Renewing leases: one thread of each process holds those of all calls that are being made in it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import structlog
from django.db import DatabaseError, InterfaceError, connection
from psycopg_pool import PoolTimeout

from integrations.services.claim import Claim, renew_lease
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant

RENEW_EVERY: Final = timedelta(seconds=10)
ASK_AGAIN_AFTER: Final = timedelta(seconds=1)
"""When the row was locked for a second, or the database away."""

log = structlog.get_logger("threada.executions")


@contextmanager
def lease_renewed(tenant: Tenant, held: Claim) -> Iterator[None]:
    """Renew the lease every ten seconds while the receiver is being waited for."""
    key = _keeper().keep(tenant, held)
    try:
        yield
    finally:
        _keeper().let_go(key)


class _Keeper:
    """The claims whose calls are being made, each with the instant at which it is renewed next."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._changed = threading.Condition()
        self._kept: dict[object, tuple[float, Tenant, Claim]] = {}
        threading.Thread(target=self._run, name="leases", daemon=True).start()

    def keep(self, tenant: Tenant, held: Claim) -> object:
        """Have it renewed until it is let go; the answer is the key to do that with."""
        key = object()
        with self._changed:
            is_alone = not self._kept
            self._kept[key] = (_after(RENEW_EVERY), tenant, held)
            if is_alone:  # of those that come later, none is due before this one
                self._changed.notify()
        return key

    def let_go(self, key: object) -> None:
        """Renew it no more."""
        with self._changed:
            self._kept.pop(key, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._kept:
                    self._changed.wait()
                due_at = min(at for at, _, _ in self._kept.values())
                if due_at > time.monotonic():
                    self._changed.wait(due_at - time.monotonic())
                    continue
                due = {key: kept for key, kept in self._kept.items() if kept[0] <= time.monotonic()}
            self._renew(due)

    def _renew(self, due: dict[object, tuple[float, Tenant, Claim]]) -> None:
        try:
            for key, (_, tenant, held) in due.items():
                following = _renewed(tenant, held)
                with self._changed:
                    if following is None:
                        self._kept.pop(key, None)
                    elif key in self._kept:
                        self._kept[key] = (_after(following), tenant, held)
        finally:
            connection.close()


_current: _Keeper | None = None
_making: Final = threading.Lock()


def _keeper() -> _Keeper:
    """This process's; a forked one has no thread of its parent's."""
    global _current  # noqa: PLW0603  (one for the process)
    with _making:
        if _current is None or _current.process != os.getpid():
            _current = _Keeper()
        return _current


def _after(wait: timedelta) -> float:
    return time.monotonic() + wait.total_seconds()


def _renewed(tenant: Tenant, held: Claim) -> timedelta | None:
    """Renew once, and say after how long to do so again; None when somebody else has taken over.

    No claim's locked row keeps the others waiting for more than a second.
    """
    try:
        with unit_of_work(tenant.id), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")
            return RENEW_EVERY if renew_lease(held) else None
    except (DatabaseError, InterfaceError, PoolTimeout):
        log.warning("lease_not_renewed", execution=str(held.execution_id), exc_info=True)
        connection.close()
        return ASK_AGAIN_AFTER
