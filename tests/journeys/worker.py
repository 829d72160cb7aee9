"""`manage.py worker` in its own process, on the test's database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import connection

from tests.broker import engine_environment


def database_url() -> str:
    """Return the URL of the database that this test uses."""
    own = connection.settings_dict
    parts = {"host": own["HOST"], "port": own["PORT"], "user": own["USER"], "password": own["PASSWORD"]}
    return f"postgresql:///{quote(own['NAME'])}?{urlencode({name: value for name, value in parts.items() if value})}"


def start_worker(**environment: str) -> subprocess.Popen[bytes]:
    """Start a worker that the test stops itself."""
    return subprocess.Popen(
        [sys.executable, "manage.py", "worker", "--concurrency", "2"],
        cwd=settings.THREADA_BASE_DIR,
        env={**os.environ, **engine_environment(), "DATABASE_URL": database_url(), **environment},
    )


@contextmanager
def running_worker(**environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker; stop it at the end and check that it stops cleanly."""
    process = start_worker(**environment)
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
