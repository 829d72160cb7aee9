"""Main process of the web server: granian, with a shutdown that loses no request.

It loads the application and serves nothing itself. Its workers are forks, so that loaded code is in memory once. It
opens no connection, and no code of the application runs in it.

Asked to stop, it first reports that at /readyz and keeps serving, so that a load balancer sends requests elsewhere
before connections are closed.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.mp import MPServer

SECONDS_TO_END: Final = 10
"""Time for requests in progress when connections are closed."""


class Server(MPServer):
    """Granian that waits `drain_s` between being asked to stop and stopping. Asked again, it stops at once."""

    def __init__(self, *, drain_s: float, stopping: Path, **options: Any) -> None:
        super().__init__(**options)
        self._drain_s = drain_s
        self._stopping = stopping
        self._is_asked = False

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """Start draining, or stop at once on Ctrl-C, which reaches the workers too."""
        stop = super().signal_handler_interrupt
        if self._is_asked or not self._drain_s or args[:1] == (signal.SIGINT,):
            stop(*args, **kwargs)
            return
        self._is_asked = True
        self._stopping.touch(mode=0o600)
        timer = threading.Timer(self._drain_s, stop)
        timer.daemon = True
        timer.start()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m threada_site.runtime.web.server")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--drain", type=float, default=0.0)
    parser.add_argument("application")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="threada-web-") as folder:
        stopping = Path(folder) / "stopping"
        os.environ["THREADA_STOPPING_FILE"] = str(stopping)
        multiprocessing.set_start_method("fork")
        importlib.import_module(options.application.partition(":")[0])
        Server(
            drain_s=options.drain,
            stopping=stopping,
            target=options.application,
            address=options.host,
            port=options.port,
            interface=Interfaces.WSGI,
            workers=options.workers,
            blocking_threads=4,
            backlog=512,
            workers_kill_timeout=SECONDS_TO_END,
            respawn_failed_workers=True,
            log_level=LogLevels.warning,
        ).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
