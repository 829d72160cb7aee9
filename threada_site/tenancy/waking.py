"""Waking the workers: after the commit, and in a thread of its own.

PostgreSQL lets transactions that notify commit one at a time, so a notification inside every intake cost two fifths of
them (docs/adr/0012). The queue's own trigger is off therefore. A notification that is lost costs no job: workers also
look by themselves, every second.
"""

from __future__ import annotations

import threading
import time
from typing import Final

import structlog
from django.db import connection

INTERVAL_S: Final = 0.02
_CHANNEL: Final = "procrastinate_queue_v1#"
_JOB_INSERTED: Final = '{"type": "job_inserted", "job_id": 0}'

log = structlog.get_logger("threada.queue")


class Waker:
    """Notifies at once, then not again for 20 ms; whatever was committed meanwhile shares the next notification."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._queues: set[str] = set()
        self._thread: threading.Thread | None = None

    def wake(self, queue: str) -> None:
        """Have the workers of `queue` look for jobs. Returns at once."""
        with self._lock:
            self._queues.add(queue)
            if self._thread is None or not self._thread.is_alive():  # the first time, and in a forked process
                self._thread = threading.Thread(target=self._run, name="waker", daemon=True)
                self._thread.start()
        self._due.set()

    def _run(self) -> None:
        while True:
            self._due.wait()
            self._due.clear()
            with self._lock:
                queues, self._queues = self._queues, set()
            try:
                _notify(queues)
            except Exception as error:  # noqa: BLE001  (a job is never lost by it, and the next may be luckier)
                log.info("workers_not_woken", error=type(error).__name__)
            time.sleep(INTERVAL_S)


def _notify(queues: set[str]) -> None:
    try:
        with connection.cursor() as cursor:
            for queue in queues:
                cursor.execute("SELECT pg_notify(%s, %s)", [_CHANNEL + queue, _JOB_INSERTED])
    finally:
        connection.close()


wake: Final = Waker().wake
