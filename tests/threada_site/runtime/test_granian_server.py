"""Web workers share what the main process has loaded, and nothing that must not be shared."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from django.conf import settings

from tests.benchmarks.servers import web_server

LOOKED_AT = """
import os, threading
import threada_site.wsgi
from django.db import connections
print(len(os.listdir("/proc/self/task")), [each.connection for each in connections.all(initialized_only=True)])
"""


def test_application_is_loaded_once_and_served_by_forks() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    served_by = set()
    with web_server("tests.threada_site.runtime.forked_application:application", port=port, processes=2) as main:
        for _ in range(200):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                loaded_by, worker = map(int, answer.read().split())
            assert loaded_by == main.pid
            served_by.add(worker)
            if len(served_by) == 2:
                break
    assert len(served_by) == 2
    assert main.pid not in served_by


def test_loading_the_application_starts_no_thread_and_opens_no_connection() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOKED_AT],
        check=True,
        cwd=Path(settings.THREADA_BASE_DIR),
        env={**os.environ, "THREADA_PROCESS": "web"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split(" ", 1)[0] == "1"
    assert "connection" not in done.stdout
    assert done.stdout.strip().endswith(("[]", "[None]"))
