"""The evaluators of this process: started on first use, each used by one tenant only, ended when idle.

An evaluator never serves a second tenant, so nothing that it has read can reach one.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from django.conf import settings

from policies.evaluator.process import EvaluatorProcess, Limits
from policies.evaluator.sessions import Session
from threada_site.kernel.errors import EvaluatorBusy
from threada_site.tenancy.rate_limits import EVALUATOR, leases

IDLE_SECONDS: Final = 30.0
WALL_SECONDS: Final = 15.0
"""Time until an answer. Longer than the processor time, because evaluators give way to everything else."""
BUSY: Final = {"Retry-After": "1"}
_MEGABYTE: Final = 1024 * 1024

log = structlog.get_logger("threada.evaluator")


def note(event: str) -> None:
    """Count an event for `/metrics`: `started`, `stopped`, `broken`, `not_started`, `busy` or `waited`."""
    leases.count(EVALUATOR + event)


class EvaluatorPool:
    """At most `THREADA_EVALUATORS` processes, running and idle. Thread-safe."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start empty. After a fork the evaluators belong to the parent."""
        self._lock = threading.Lock()
        self._running: set[uuid.UUID] = set()
        self._idle: dict[uuid.UUID, tuple[float, Session]] = {}
        """Least recently used first, with the time of the last use."""
        self._has_reaper = False

    @contextmanager
    def reserved(self, tenant_id: uuid.UUID) -> Iterator[Session | None]:
        """Reserve a place for `tenant_id`. Yield its idle session, if there is one. Raises `EvaluatorBusy`."""
        with self._lock:
            if tenant_id in self._running or len(self._running) >= settings.THREADA_EVALUATORS:
                note("busy")
                raise EvaluatorBusy(headers=BUSY)
            _, session = self._idle.pop(tenant_id, (0.0, None))
            self._running.add(tenant_id)
            too_many = len(self._running) + len(self._idle) - settings.THREADA_EVALUATORS
            others = list(self._idle.items())[: max(too_many, 0)]
            for tenant, _ in others:
                del self._idle[tenant]
        for _, (_, other) in others:
            other.process.end()
        try:
            yield session
        finally:
            with self._lock:
                self._running.discard(tenant_id)

    def start(self, tenant_id: uuid.UUID) -> Session:
        """Start an evaluator. Raises `BrokenError`."""
        limits = Limits(
            settings.THREADA_EVALUATOR_CPU_MS / 1000, WALL_SECONDS, settings.THREADA_EVALUATOR_MEMORY_MB * _MEGABYTE
        )
        session = Session(EvaluatorProcess(limits))
        note("started")
        log.debug("evaluator_started", tenant_id=str(tenant_id), pid=session.process.pid)
        return session

    def keep(self, tenant_id: uuid.UUID, session: Session) -> None:
        """Keep a session for the next run of the tenant, until it has been idle for `IDLE_SECONDS`."""
        if not session.is_reusable:
            session.process.end()
            return
        with self._lock:
            self._idle[tenant_id] = time.monotonic(), session
            if not self._has_reaper:
                self._has_reaper = True
                threading.Thread(target=self._reap, name="evaluator-reaper", daemon=True).start()

    def end_all(self) -> None:
        """End all idle evaluators."""
        with self._lock:
            ended, self._idle = self._idle, {}
        for _, session in ended.values():
            session.process.end()

    def _reap(self) -> None:
        while True:
            with self._lock:
                if not self._idle:
                    self._has_reaper = False
                    return
                tenant_id, (used_at, session) = next(iter(self._idle.items()))
                wait = used_at + IDLE_SECONDS - time.monotonic()
                if wait <= 0:
                    del self._idle[tenant_id]
            if wait <= 0:
                session.process.end()
            else:
                time.sleep(wait)


pool = EvaluatorPool()


os.register_at_fork(after_in_child=pool.forget)
