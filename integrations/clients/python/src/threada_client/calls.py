"""Calls that operations consist of: read, send, wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from threada_client.errors import WaitTimedOut
from threada_client.exchange import Pause, Request, Steps, answered, new_key

HELD_S: Final = 25
"""Seconds for which the server is asked to hold an answer (`Prefer: wait`)."""
_PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0)


def path_of(*parts: str) -> str:
    """Return a path; each part is quoted, so that an id cannot name another path. Raise `ValueError` for dots."""
    if any(part in {"", ".", ".."} for part in parts):
        raise ValueError("An id is empty or consists of dots.")
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def get(path: str) -> Steps[Any]:
    answer = yield from answered(Request("GET", path))
    return answer.json()


def post(path: str, body: Mapping[str, Any], idempotency_key: str | None, *, wait: int = 0) -> Steps[Any]:
    """Send a POST, without the members of `body` that are None. `wait`: seconds to prefer to wait for the answer."""
    sent = {name: value for name, value in body.items() if value is not None}
    headers = {"Idempotency-Key": idempotency_key or new_key()}
    if wait > 0:
        headers["Prefer"] = f"wait={min(wait, HELD_S)}"
    answer = yield from answered(Request("POST", path, headers=headers, body=sent))
    return answer.json()


def wait_until(path: str, has_ended: Callable[[str], bool], timeout: float) -> Steps[Any]:
    """Read a resource until its status has ended. The server holds the answer if it can."""
    deadline = time.monotonic() + timeout
    polls = 0
    resource: Any = None
    known: dict[str, str] = {}
    while True:
        left = deadline - time.monotonic()
        held = int(max(0, min(HELD_S, left)))
        headers = {"Prefer": f"wait={held}", **known} if held and polls else {}
        answer = yield from answered(Request("GET", path, headers=headers))
        if answer.status != 304:
            resource = answer.json()
        # The server holds the answer only if the resource is still the one that was read.
        known = {"If-None-Match": answer.headers["etag"]} if "etag" in answer.headers else {}
        if has_ended(resource["status"]):
            return resource
        if time.monotonic() >= deadline:
            raise WaitTimedOut(f"{path} is {resource['status']} after {timeout:g} s.", resource)
        if "preference-applied" not in answer.headers:
            pause = _PAUSES_S[min(polls, len(_PAUSES_S) - 1)]
            yield Pause(max(0.0, min(pause, deadline - time.monotonic())))
        polls += 1
