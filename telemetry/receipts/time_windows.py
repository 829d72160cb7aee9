"""Time windows of queries. Every query of receipts has a window of bounded length. Pure."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from threada_site.kernel import ids
from threada_site.kernel.errors import FieldError, InvalidRequest, WindowTooLarge

_FIRST: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """Time from `after` (inclusive) to `before` (exclusive).

    A window with `is_open` ends now because no end was given. It also includes rows whose writer's clock was up to
    `ids.CLOCKS_DIFFER` ahead of the reader's, but no later month: each partition that a list may read costs planning.
    """

    after: datetime
    before: datetime
    is_open: bool = False

    @property
    def first_id(self) -> uuid.UUID:
        return ids.first_id_at(self.after)

    @property
    def end_id(self) -> uuid.UUID:
        return ids.first_id_at(self.before + ids.CLOCKS_DIFFER if self.is_open else self.before)


def window(after: datetime | None, before: datetime | None, *, now: datetime, longest: timedelta) -> Window:
    """Return the requested window. A missing end is now; a missing start is as early as allowed.

    Raises `WindowTooLarge`, and `InvalidRequest` if the window ends before it begins.
    """
    end = before or (now if after is None or now - after < longest else after + longest)
    start = after or earlier(end, by=longest)
    if start > end:
        raise InvalidRequest(
            "The window ends before it begins.",
            errors=[FieldError("?created_before", "lies before created_after", "invalid")],
        )
    if end - start > longest:
        raise WindowTooLarge(f"A window of {longest.days} days is the longest there is. Ask for it in parts.")
    return Window(start, end, is_open=before is None and end == now)


def earlier(instant: datetime, *, by: timedelta) -> datetime:
    """Return `instant - by`, or the earliest representable instant."""
    return instant - by if instant - _FIRST > by else _FIRST
