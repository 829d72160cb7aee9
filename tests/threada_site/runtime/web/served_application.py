"""An application that reports what it received, with responses of any size and duration."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

RUNS: list[str] = []


def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Return `size` bytes after `sleep` seconds, or else what was received.

    That is: method, path, length of the body, number of requests so far, address of the client, forwarded scheme.
    """
    asked = dict(parse_qsl(environ["QUERY_STRING"]))
    time.sleep(float(asked.get("sleep", 0)))
    body = b"" if "unread" in asked else environ["wsgi.input"].read()
    RUNS.append(environ["PATH_INFO"])
    start("200 OK", [("Content-Type", "text/plain")])
    if "size" in asked:
        return (b"a" * 65_536 for _ in range(int(asked["size"]) // 65_536))
    forwarded = environ.get("HTTP_X_FORWARDED_PROTO", "-")
    words = [environ["REQUEST_METHOD"], environ["PATH_INFO"], len(body), len(RUNS), environ["REMOTE_ADDR"], forwarded]
    return [" ".join(map(str, words)).encode()]


def answers_unread(environ: dict[str, Any]) -> bool:
    return environ["PATH_INFO"] == "/refused"


def takes_document(environ: dict[str, Any]) -> bool:
    return environ["PATH_INFO"] == "/documents"
