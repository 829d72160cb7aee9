"""Renewal of leases: one thread of each process renews the leases of all calls that the process is making."""

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

from integrations.executions.lease import Lease, renew_lease
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant

RENEW_EVERY: Final = timedelta(seconds=10)
ASK_AGAIN_AFTER: Final = timedelta(seconds=1)
"""Pause after the row was locked for a second or the database was unreachable."""

log = structlog.get_logger("threada.executions")


@contextmanager
def renewed_lease(tenant: Tenant, lease: Lease) -> Iterator[None]:
    """Renew the lease every ten seconds while waiting for the receiver."""
    key = _renewer().start_renewing(tenant, lease)
    try:
        yield
    finally:
        _renewer().stop_renewing(key)


class _LeaseRenewer:
    """The leases of calls in progress, each with the instant of its next renewal."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._changed = threading.Condition()
        self._leases: dict[object, tuple[float, Tenant, Lease]] = {}
        threading.Thread(target=self._run, name="leases", daemon=True).start()

    def start_renewing(self, tenant: Tenant, lease: Lease) -> object:
        """Renew the lease until `stop_renewing` is called with the returned key."""
        key = object()
        with self._changed:
            is_alone = not self._leases
            self._leases[key] = (_after(RENEW_EVERY), tenant, lease)
            if is_alone:  # leases added later are due later
                self._changed.notify()
        return key

    def stop_renewing(self, key: object) -> None:
        """Stop renewing the lease."""
        with self._changed:
            self._leases.pop(key, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._leases:
                    self._changed.wait()
                due_at = min(at for at, _, _ in self._leases.values())
                if due_at > time.monotonic():
                    self._changed.wait(due_at - time.monotonic())
                    continue
                due = {key: kept for key, kept in self._leases.items() if kept[0] <= time.monotonic()}
            self._renew(due)

    def _renew(self, due: dict[object, tuple[float, Tenant, Lease]]) -> None:
        try:
            for key, (_, tenant, lease) in due.items():
                following = _renewed(tenant, lease)
                with self._changed:
                    if following is None:
                        self._leases.pop(key, None)
                    elif key in self._leases:
                        self._leases[key] = (_after(following), tenant, lease)
        finally:
            connection.close()


_current: _LeaseRenewer | None = None
_making: Final = threading.Lock()


def _renewer() -> _LeaseRenewer:
    """Return the renewer of this process. A forked process has no thread of its parent, so it gets a new one."""
    global _current  # noqa: PLW0603  (one for the process)
    with _making:
        if _current is None or _current.process != os.getpid():
            _current = _LeaseRenewer()
        return _current


def _after(wait: timedelta) -> float:
    return time.monotonic() + wait.total_seconds()


def _renewed(tenant: Tenant, lease: Lease) -> timedelta | None:
    """Renew the lease once. Return the pause before the next renewal, or None if another worker has taken over.

    A locked row delays the renewal of the other leases by a second at most.
    """
    try:
        with unit_of_work(tenant.id), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")
            return RENEW_EVERY if renew_lease(lease) else None
    except (DatabaseError, InterfaceError, PoolTimeout):
        log.warning("lease_not_renewed", execution=str(lease.execution_id), exc_info=True)
        connection.close()
        return ASK_AGAIN_AFTER
