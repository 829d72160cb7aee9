"""Main process of the web server: granian, with limits for slow clients and a shutdown that loses no request.

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
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer, SocketHolder

from threada_site.environment import name_process
from threada_site.kernel.parent_death import end_with_parent
from threada_site.runtime.web.guard import Guard
from threada_site.runtime.web.limits import Limits
from threada_site.runtime.web.listening import BACKLOG, listening_socket, raise_open_files_limit

SECONDS_TO_END: Final = 10
"""Time for requests in progress when connections are closed."""
_LARGEST_HEAD: Final = 64 * 1024
_SWITCH_S: Final = 0.001
"""Time for which one thread keeps the interpreter. A request takes it back after each statement, so that with Python's
5 ms a create waits that long many times while another thread computes."""
_HEADROOM: Final = 1_000
"""Connections accepted beyond the limit, so that those beyond it are closed instead of waiting in the kernel."""


class Server(MPServer):
    """Granian that waits `drain_s` between being asked to stop and stopping. Asked again, it stops at once.

    Its processes share one listening socket.
    """

    def __init__(self, *, drain_s: float, folder: Path, limits: Limits, **options: Any) -> None:
        super().__init__(**options)
        self._drain_s = drain_s
        self._stopping = folder / "stopping"
        self._closing = folder / "closing"
        self._limits = limits
        self._is_asked = False

    def _init_shared_socket(self) -> None:
        self._sso = listening_socket(self.bind_addr, self.bind_port, self._limits)
        self._sso.set_inheritable(True)
        self._shd = SocketHolder(self._sso.fileno(), False, BACKLOG)  # type: ignore[call-arg, assignment]

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """Start draining, or stop at once on Ctrl-C, which reaches the workers too."""

        def stop(*args: Any, **kwargs: Any) -> None:
            self._closing.touch(mode=0o600)
            super(Server, self).signal_handler_interrupt(*args, **kwargs)

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
    name_process("web")
    limits = Limits.from_environment()
    limits = replace(limits, connections=raise_open_files_limit(limits))
    with tempfile.TemporaryDirectory(prefix="threada-web-") as name:
        folder = Path(name)
        os.environ["THREADA_STOPPING_FILE"] = str(folder / "stopping")
        multiprocessing.set_start_method("fork")
        importlib.import_module(options.application.partition(":")[0])
        guard = partial(
            _guard, options.application, port=options.port, limits=limits, folder=folder, parent=os.getpid()
        )
        Server(
            drain_s=options.drain,
            folder=folder,
            limits=limits,
            target=options.application,
            address=options.host,
            port=options.port,
            interface=Interfaces.RSGI,
            loop=Loops.asyncio,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=limits.head_s * 1000, max_buffer_size=_LARGEST_HEAD),
            websockets=False,
            workers=options.workers,
            backlog=BACKLOG,
            backpressure=limits.connections + _HEADROOM,
            workers_kill_timeout=SECONDS_TO_END,
            respawn_failed_workers=True,
            log_level=LogLevels.warning,
        ).serve(target_loader=cast("Any", guard), wrap_loader=False)


def _guard(target: str, *, port: int, limits: Limits, folder: Path, parent: int) -> Guard:
    """Return the application of a web process, which calls this after the fork. The process ends with `parent`: without
    it, nobody would stop the process, and it would keep the port."""
    end_with_parent(parent)
    sys.setswitchinterval(_SWITCH_S)
    module, _, name = target.partition(":")
    loaded = importlib.import_module(module)
    own = Path(tempfile.mkdtemp(prefix="responses-", dir=folder))
    return Guard(
        getattr(loaded, name),
        port=port,
        limits=limits,
        spool_folder=own,
        closing=folder / "closing",
        stopping=folder / "stopping",
        answers_unread=getattr(loaded, "answers_unread", None),
        body_limit=getattr(loaded, "body_limit", None),
        refuse=getattr(loaded, "refuse", None),
        password_precedence=getattr(loaded, "password_precedence", None),
        refusal_page=getattr(loaded, "refusal_page", None),
        read_statuses=getattr(loaded, "read_statuses", None),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
