"""Worker of the engine with a broker: a relay and one Celery worker for each group of pools, forked from this process.

Code is loaded once and shared. This process opens no connection and runs no thread, so it may fork at any time. A child
that dies is replaced by another, which first returns the jobs of the dead one.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import uuid
from typing import Any, Final

import structlog
from celery import Celery
from django.db import connection, connections

from threada_site.jobs.engines.celery import outbox, publication
from threada_site.jobs.engines.celery.app import DATABASE_AWAY, celery_app
from threada_site.jobs.engines.celery.broker_check import register_worker
from threada_site.jobs.engines.celery.relay import relay
from threada_site.jobs.engines.celery.worker import run_pools
from threada_site.jobs.pools import WorkerPool, all_pools
from threada_site.kernel.parent_death import end_with_parent

SECONDS_TO_END: Final = 12.0
RESTART_AFTER_S: Final = 1.0
RELAY: Final = "relay"

log = structlog.get_logger("threada.worker")


class WorkerSupervisor:
    """The child processes of one worker, by kind."""

    def __init__(self, concurrency: int) -> None:
        self._pools = all_pools(concurrency)
        self._app: Celery = celery_app(self._pools)
        self._app.finalize()
        self._own = os.getpid()
        self._kinds = [RELAY, *dict.fromkeys(pool.process for pool in self._pools)]
        self._living: dict[int, str] = {}
        self._started_at: dict[str, float] = {}
        self._names: dict[str, str] = {}
        self._marker = ""
        self._is_asked = False

    def run(self) -> bool:
        """Run until a signal asks to stop, and return True. Raise `OtherBrokerError` if the other workers use another
        broker."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)
        name = _name(self._own, "joining", uuid.uuid4().hex[:12])
        self._marker = register_worker(self._app, name=name, is_asked_to_stop=lambda: self._is_asked) or ""
        for each in connections.all(initialized_only=True):
            each.close()
            each.close_pool()  # type: ignore[attr-defined]
        while not self._is_asked:
            for kind in self._kinds:
                lived_s = time.monotonic() - self._started_at.get(kind, float("-inf"))
                if kind not in self._living.values() and lived_s >= RESTART_AFTER_S:
                    self._start(kind)
            self._reap()
            time.sleep(0.1)
        self._end()
        return True

    def _ask(self, *_signal: Any) -> None:
        self._is_asked = True

    def _start(self, kind: str) -> None:
        before = self._names.get(kind, "")
        salt = uuid.uuid4().hex[:12]
        self._started_at[kind] = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child:
            self._living[child] = kind
            self._names[kind] = _name(child, kind, salt)
            return
        status = 1
        try:
            status = self._run_child(kind, _name(os.getpid(), kind, salt), before)
        except BaseException:
            log.exception("child_failed", child=kind)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _run_child(self, kind: str, name: str, before: str) -> int:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        end_with_parent(self._own)
        if not self._is_parent_there():
            return 1
        if before:
            _give_back(before, is_relay=kind == RELAY)
        if kind == RELAY:
            return relay(self._app, self._pools, name=name, marker=self._marker, parent_is_there=self._is_parent_there)
        return run_pools(self._app, self._pools_of(kind), name=name, parent=self._own)

    def _pools_of(self, kind: str) -> list[WorkerPool]:
        return [pool for pool in self._pools if pool.process == kind]

    def _is_parent_there(self) -> bool:
        return os.getppid() == self._own

    def _reap(self) -> None:
        for child, kind in list(self._living.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                del self._living[child]
                if not self._is_asked:
                    log.error("child_ended", child=kind, status=os.waitstatus_to_exitcode(status))

    def _end(self) -> None:
        for child in self._living:
            os.kill(child, signal.SIGTERM)
        ends = time.monotonic() + SECONDS_TO_END
        while self._living and time.monotonic() < ends:
            self._reap()
            time.sleep(0.05)
        for child in self._living:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _name(pid: int, kind: str, salt: str) -> str:
    """Return the name of a child in the rows it owns. The salt distinguishes processes with the same number."""
    return f"{socket.gethostname()[:60]}:{pid}:{kind}:{salt}"


def _give_back(name: str, *, is_relay: bool) -> None:
    """Return what a dead child owned: the relay lease, or the jobs it had taken."""
    try:
        if is_relay:
            publication.release_relay_lease(name)
        else:
            outbox.sign_off(name)
    except DATABASE_AWAY:
        log.warning("left_to_its_lease", child=name)
    finally:
        connection.close()
