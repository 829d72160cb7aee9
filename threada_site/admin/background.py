"""Requests that a page sends by itself: they extend no session and show nothing to anybody."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final

from django.http import HttpRequest

from threada_site.kernel import clock, ids

PULSE_URL: Final = "/console/pulse"
HEADER: Final = "Threada-Background"
_OVERLAP: Final = timedelta(seconds=10)
"""Rows become visible at their commit, after their id was made."""


def is_in_background(request: HttpRequest) -> bool:
    """Return True for the pulse, and for a page that a script loads to update the one that is open."""
    return request.path == PULSE_URL or (request.method in ("GET", "HEAD") and HEADER in request.headers)


def pulse_of(page: str, key: str = "", **state: str) -> dict[str, object]:
    """Return what an open page sends to ask for its pulse: its kind, the id of its row, and the id from which on rows
    are new. `state` is what the page shows, to be compared with the first answer."""
    return {"page": page, "id": key, "since": str(since_now()), "state": state}


def since_now() -> uuid.UUID:
    """Return the first id of rows that may become visible from now on."""
    return ids.first_id_at(clock.now() - _OVERLAP)
