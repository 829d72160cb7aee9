"""Complete instance, run by `manage.py up`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

SECONDS_TO_START = 180


@dataclass(frozen=True, slots=True)
class Instance:
    """Running instance. `seconds` is the time from `up` until /readyz returned 200; `token` is the printed token."""

    process: psutil.Process
    token: str
    seconds: float


@contextmanager
def running_instance(
    data_dir: Path, *, port: int, checkout: Path | None = None, command: tuple[str, ...] = (sys.executable,)
) -> Iterator[Instance]:
    """Run `manage.py up` in `checkout` (default: this one), and stop it by Ctrl-C."""
    output = data_dir.with_name(data_dir.name + ".output")
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "VIRTUAL_ENV")}
    begun = time.monotonic()
    with output.open("w") as file:
        process = subprocess.Popen(
            [*command, "manage.py", "up", f"--port={port}"],
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=checkout or Path.cwd(),
            env={
                **environment,
                "THREADA_DATA_DIR": str(data_dir),
                "THREADA_RATE_LIMITS": "credential=100000 tenant=100000",
            },
            start_new_session=True,
        )
    try:
        while not is_ready(port):
            if process.poll() is not None or time.monotonic() - begun > SECONDS_TO_START:
                raise RuntimeError(f"`up` is not ready:\n{output.read_text()}")
            time.sleep(0.05)
        seconds = time.monotonic() - begun
        found = re.search(r"thr_[0-9A-Za-z]+", output.read_text())
        assert found is not None, output.read_text()
        yield Instance(psutil.Process(process.pid), found[0], seconds)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)


def is_ready(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2).close()
    except OSError:
        return False
    return True
