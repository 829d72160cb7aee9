"""Agreement between the web server and views about requests that wait for a change of a status. Pure.

The web server offers to hold a request. A view takes the offer; its answer is then thrown away, and the server runs the
request again, without its body, when the status has changed or the time is over. No thread waits meanwhile.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple

OFFER: Final = "threada.wait_offer"
"""Key of the WSGI environment: the `Offer`, on servers that can hold requests."""
WAITED: Final = "threada.waited"
"""Key of the WSGI environment of a request that was held: the seconds asked for; 0 if the wait was interrupted."""
RESUMED: Final = "threada.resumed"
"""Key of the WSGI environment of a request that was held: the `Watched`."""
MESSAGE: Final = "threada.wait_message"
"""Key of the WSGI environment of a request that was held: the `message` of its `Offer`."""
LONGEST_S: Final = 30
GATEWAY: Final = "/mcp/"
"""Prefix of paths whose requests may be held although they do not say so: calls of tools."""
_WAIT: Final = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?([0-9]{1,9})\"?\s*(?=$|[,;])", re.IGNORECASE)


class Awaited(StrEnum):
    """Kinds of rows whose status can be awaited."""

    WORK_ITEM = "work_item"
    EXECUTION = "execution"
    DECISION_STEP = "decision_step"


class Watched(NamedTuple):
    """Row whose status is awaited, and the statuses during which the request is held."""

    kind: Awaited
    id: uuid.UUID
    tenant_id: uuid.UUID
    during: frozenset[str]


class Offer:
    """Offer to hold one request. `reserve` returns False if no more can be held for the tenant.

    `is_kept`: its answer was thrown away, so the request must be run again. `message` is what the second run needs of
    the body, a few hundred bytes.
    """

    def __init__(self, reserve: Callable[[uuid.UUID], bool]) -> None:
        self._reserve = reserve
        self.watched: Watched | None = None
        self.seconds = 0
        self.is_kept = False
        self.message = b""

    def take(self, watched: Watched, seconds: int) -> bool:
        """Let the server hold the request while the status of `watched` is in `during`. Return False if it cannot."""
        if not self._reserve(watched.tenant_id):
            return False
        self.watched, self.seconds = watched, seconds
        return True


def preferred_wait(prefer: str) -> int | None:
    """Return the seconds in the header `Prefer: wait=…` (RFC 7240), at most 30; None without a valid one."""
    found = _WAIT.search(prefer)
    return min(int(found[1]), LONGEST_S) if found else None
