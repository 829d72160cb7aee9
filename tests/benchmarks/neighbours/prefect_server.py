"""A Prefect server for one measurement, with its database in a temporary folder."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from tests.ports import free_port

PYTHON: Final = os.environ.get("THREADA_BENCHMARK_PREFECT", "")
"""Python of an environment with `prefect`, `httpx` and `psycopg`; empty: Prefect is not measured."""

_WORKER: Final = Path(__file__).with_name("worker.py")
_START_S: Final = 120
_SILENT: Final[dict[str, Any]] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@contextmanager
def prefect_server() -> Iterator[None]:
    """Run a new server, which `run_worker` uses."""
    with tempfile.TemporaryDirectory(prefix="threada-prefect-") as folder:
        port = free_port()
        os.environ["PREFECT_HOME"] = folder
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
        command = ["server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui", "--analytics-off"]
        process = subprocess.Popen([PYTHON, "-m", "prefect", *command], cwd=folder, **_SILENT)
        try:
            _wait_for(os.environ["PREFECT_API_URL"])
            yield
        finally:
            process.terminate()
            process.wait(30)


def run_worker(*row_ids: str) -> subprocess.Popen[bytes]:
    """Start a worker, or a process that queues a job for each of `row_ids`."""
    return subprocess.Popen([PYTHON, str(_WORKER), "prefect", *row_ids], **_SILENT)


def _wait_for(url: str) -> None:
    ends = time.monotonic() + _START_S
    while True:
        try:
            httpx.get(f"{url}/health").raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.5)
        else:
            return
