"""How the web server is started. Pure, like whoever starts it."""

from __future__ import annotations

import sys


def web_command(
    *, host: str, port: int, processes: int, application: str = "threada_site.wsgi:application"
) -> list[str]:
    """The command line of the web server."""
    return [
        sys.executable,
        "-m",
        "granian",
        "--interface=wsgi",
        f"--host={host}",
        f"--port={port}",
        f"--workers={processes}",
        "--blocking-threads=4",
        "--backlog=512",
        "--workers-kill-timeout=10",
        "--respawn-failed-workers",
        "--log-level=warning",
        application,
    ]
