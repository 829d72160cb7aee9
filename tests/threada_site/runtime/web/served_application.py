"""An application that reports what it received, with responses of any size and duration."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

from threada_site.kernel.waits import OFFER, WAITED, Awaited, Watched, preferred_wait

RUNS: list[str] = []
STATUS: list[str] = ["new"]
ROW: Final = uuid.UUID(int=1)


def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Return `size` bytes after `sleep` seconds, or else what was received.

    That is: method, path, length of the body, number of requests so far, address of the client, forwarded scheme.
    """
    if environ["PATH_INFO"].startswith(("/status/", "/wait/")):
        return [_about_status(environ, start).encode()]
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


def _about_status(environ: dict[str, Any], start: Callable[..., Any]) -> str:
    """Set the status of the row, or read it for a tenant, and wait for its change if the request prefers that."""
    _, verb, word = environ["PATH_INFO"].split("/")
    if verb == "status":
        STATUS[0] = word
    offer, seconds = environ.get(OFFER), preferred_wait(environ.get("HTTP_PREFER", ""))
    watched = Watched(Awaited.WORK_ITEM, ROW, uuid.UUID(int=int(word)), frozenset({STATUS[0], "7"}))
    taken = offer and offer.take(watched, seconds)
    start("500 Failed" if "fails" in environ["QUERY_STRING"] else "200 OK", [("Content-Type", "text/plain")])
    body = len(environ["wsgi.input"].read()) if environ["REQUEST_METHOD"] == "POST" else ""
    return f"{STATUS[0]} {environ.get(WAITED)} {bool(taken)} {body}".rstrip()


def read_statuses(watched: Collection[Watched]) -> dict[uuid.UUID, str]:
    return {row.id: STATUS[0] for row in watched}


def answers_unread(environ: dict[str, Any]) -> bool:
    return environ["PATH_INFO"] == "/refused"


def body_limit(environ: dict[str, Any]) -> int:
    name = "THREADA_MAX_DOCUMENT_BYTES" if environ["PATH_INFO"] == "/documents" else "THREADA_MAX_BODY_BYTES"
    return int(os.environ.get(name, "1048576"))
