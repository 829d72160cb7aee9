"""Web servers under test: as `manage.py up` runs them, for the product and for the minimal insert."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psutil

from threada_site.runtime.web.options import web_command

PRODUCT = "threada_site.wsgi:application"
BARE = "tests.benchmarks.bare.wsgi:application"


@contextmanager
def web_server(
    application: str, *, port: int, processes: int, environment: Mapping[str, str] | None = None, module: str = ""
) -> Iterator[psutil.Process]:
    """Run a server; yield it once it has answered. `module`: another server that takes the same arguments."""
    command = web_command(host="127.0.0.1", port=port, processes=processes, application=application)
    if module:
        command[command.index("-m") + 1] = module
    process = subprocess.Popen(command, env={**os.environ, **(environment or {})})
    try:
        _wait_until_it_answers(port, process)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the web server ended with status {process.returncode}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"nothing answered on port {port}")
