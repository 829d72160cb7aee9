"""The summary: figures of governed work over whole days, by one of the documented dimensions."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django.db.models import QuerySet, Sum

from telemetry import selectors
from telemetry.summary.figures import Figures, total_of
from telemetry.summary_models import SummaryCount
from telemetry.windows import earlier, window
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext

LONGEST: Final = timedelta(days=366)
USUAL: Final = timedelta(days=31)
_LAST: Final = date.max - timedelta(days=1)
"""The last day that has an end."""
MAX_GROUPS: Final = 400


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures from `first` to `last`, both included, and how far they reach.

    `as_of`: when the last counted receipt was written; `uncounted`: sealed receipts that are not in the figures yet.
    `left_out`: groups beyond the first `MAX_GROUPS`; they are in the total.
    """

    first: date
    last: date
    as_of: datetime | None
    uncounted: int
    total: Figures
    groups: dict[str, Figures]
    left_out: int

    @property
    def after(self) -> datetime:
        return datetime.combine(self.first, time(), UTC)

    @property
    def before(self) -> datetime:
        return datetime.combine(self.last + timedelta(days=1), time(), UTC)


def days_of(after: datetime | None, before: datetime | None, *, now: datetime) -> tuple[date, date]:
    """The first and the last whole day (UTC) that the window touches; 31 days unless said.

    Raises `WindowTooLarge` past 366 days and `InvalidRequest` when it ends before it begins.
    """
    if after is None and before is None:
        after = now - USUAL + timedelta(days=1)
    elif after is None and before is not None:
        after = earlier(before, by=USUAL)
    chosen = window(after, before, now=now, longest=LONGEST)
    first = chosen.after.astimezone(UTC).date()
    end = chosen.before.astimezone(UTC)
    last = (end - timedelta(microseconds=1)).date() if end > chosen.after else end.date()
    return min(first, _LAST), min(max(first, last), _LAST)


def summarize(
    rows: QuerySet[SummaryCount], first: date, last: date, *, ctx: ActingContext, group_by: str | None = None
) -> Summary:
    """The figures of `rows` on the days from `first` to `last`; `group_by` is one of `DIMENSIONS`. Two statements."""
    rows = rows.filter(day__range=(first, last))
    total, groups = total_of(_grouped(rows, group_by))
    if group_by is None:
        groups = {}
    reach = selectors.summary_reach(ctx)
    by_size = sorted(groups, key=lambda key: (-groups[key].received, key))
    kept = set(by_size[:MAX_GROUPS])
    return Summary(
        first=first,
        last=last,
        as_of=reach.latest_at,
        uncounted=reach.uncounted,
        total=total,
        groups={key: groups[key] for key in sorted(kept)},
        left_out=len(groups) - len(kept),
    )


def _grouped(rows: QuerySet[SummaryCount], group_by: str | None) -> Iterator[tuple[str, str, str, int]]:
    column = "policy_version_id" if group_by == "policy_version" else group_by
    columns = ("measure", "label", column) if column else ("measure", "label")
    for row in rows.order_by().values(*columns).annotate(found=Sum("count")):
        yield _key(row[column]) if column else "", row["measure"], row["label"], row["found"]


def _key(value: Any) -> str:
    if isinstance(value, uuid.UUID):
        return ids.public_id(ids.POLICY_VERSION, value)
    return "" if value is None else str(value)
