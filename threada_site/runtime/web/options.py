"""Command line of the web server. Pure Python, because its callers load no Django."""

from __future__ import annotations

import sys


def web_command(
    *, host: str, port: int, processes: int, application: str = "threada_site.wsgi:application", drain_s: float = 0.0
) -> list[str]:
    """Return the command line of the web server. `drain_s`: seconds for which it keeps serving once asked to stop."""
    return [
        sys.executable,
        "-m",
        "threada_site.runtime.web.server",
        f"--host={host}",
        f"--port={port}",
        f"--workers={processes}",
        f"--drain={drain_s:g}",
        application,
    ]
