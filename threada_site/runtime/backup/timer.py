"""Start of `manage.py backup --scheduled` by the supervisor of `up`. Imports no Django."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from threada_site.kernel.parent_death import end_with_parent

FIRST_AFTER_S: Final = 60.0
EVERY_S: Final = 3_600.0
"""Interval between two starts. The command reads the folder, and makes no backup before one is due."""


class BackupTimer:
    """Starts the command every hour. With an empty command it does nothing."""

    def __init__(self, command: Sequence[str], *, data_dir: str) -> None:
        self._command = list(command)
        self._data_dir = data_dir
        self._next_at = time.monotonic() + FIRST_AFTER_S
        self._running: subprocess.Popen[bytes] | None = None

    def check(self) -> None:
        """Start the command if it is time, and report one that failed."""
        if not self._command:
            return
        if self._running is not None:
            if self._running.poll() is None:
                return
            if self._running.returncode:
                print(f"backup ended with status {self._running.returncode}.", file=sys.stderr, flush=True)
            self._running = None
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + EVERY_S
            environment = os.environ | ({"THREADA_DATA_DIR": self._data_dir} if self._data_dir else {})
            self._running = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,
                preexec_fn=partial(end_with_parent, os.getpid(), signal.SIGTERM),  # noqa: PLW1509  (no threads here)
                env=environment,
            )

    def stop(self) -> None:
        """End a command that runs. The unfinished file is removed by the next one."""
        if self._running is not None and self._running.poll() is None:
            os.killpg(self._running.pid, signal.SIGTERM)  # with pg_dump
            self._running.wait()
