"""Web server without limits for slow clients: granian's WSGI interface. `python -m tests.benchmarks.web_servers.plain` runs it."""

from __future__ import annotations

import argparse
import importlib
import multiprocessing

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.mp import MPServer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--drain", type=float)
    parser.add_argument("application")
    options = parser.parse_args()
    multiprocessing.set_start_method("fork")
    importlib.import_module(options.application.partition(":")[0])
    MPServer(
        target=options.application,
        address=options.host,
        port=options.port,
        interface=Interfaces.WSGI,
        workers=options.workers,
        blocking_threads=4,
        backlog=512,
        workers_kill_timeout=10,
        log_level=LogLevels.warning,
    ).serve()


if __name__ == "__main__":
    main()
