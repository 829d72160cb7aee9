"""The summary: counts of governed work over whole days, grouped by one of the documented dimensions."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django.db.models import QuerySet, Sum

from telemetry import selectors
from telemetry.receipts.time_windows import earlier, window
from telemetry.summary.filters import SummaryFilters, chosen_dimensions
from telemetry.summary.metrics import SummaryMetrics, total_of
from telemetry.summary.rollups import slice_for
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext

LONGEST: Final = timedelta(days=366)
USUAL: Final = timedelta(days=31)
_LAST: Final = date.max - timedelta(days=1)
"""The last representable day with an end."""
MAX_GROUPS: Final = 400


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts from `first` to `last`, both inclusive, and their completeness.

    `as_of`: time of the last counted receipt. `uncounted`: number of sealed receipts that are not counted yet.
    `left_out`: number of groups after the first `MAX_GROUPS`, which are included in the total.
    """

    first: date
    last: date
    as_of: datetime | None
    uncounted: int
    total: SummaryMetrics
    groups: dict[str, SummaryMetrics]
    left_out: int

    @property
    def after(self) -> datetime:
        return datetime.combine(self.first, time(), UTC)

    @property
    def before(self) -> datetime:
        return datetime.combine(self.last + timedelta(days=1), time(), UTC)


def days_of(after: datetime | None, before: datetime | None, *, now: datetime) -> tuple[date, date]:
    """Return the first and the last whole day (UTC) of the window; 31 days by default.

    Raises `WindowTooLarge` for more than 366 days, and `InvalidRequest` if the window ends before it begins.
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
    bound: SummaryFilters, first: date, last: date, *, ctx: ActingContext, group_by: str | None = None
) -> Summary:
    """Return the summary of the counts selected by `bound`, on the days from `first` to `last`. Two statements.

    `group_by` is one of `DIMENSIONS`.
    """
    total, groups = total_of(_grouped(bound, first, last, group_by, ctx=ctx))
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


def _grouped(
    bound: SummaryFilters, first: date, last: date, group_by: str | None, *, ctx: ActingContext
) -> Iterator[tuple[str, str, str, int]]:
    """Yield (group, measure, label, count) from the smallest sufficient table: rollups of one dimension, or all
    counts."""
    chosen = chosen_dimensions(bound)
    kept = None if chosen is None else slice_for(chosen, group_by)
    rows: QuerySet[Any]
    if kept is None:
        rows = bound.qs
        column = "policy_version_id" if group_by == "policy_version" else group_by
    else:
        rows = selectors.summary_rollups(ctx).filter(dimension=kept.dimension)
        rows = rows if kept.key is None else rows.filter(key=kept.key)
        column = "day" if group_by == "day" else group_by and "key"
    columns = ("measure", "label", column) if column else ("measure", "label")
    found = rows.filter(day__range=(first, last)).order_by().values(*columns).annotate(found=Sum("count"))
    for row in found.filter(found__gt=0):
        yield _key(row[column], group_by) if column else "", row["measure"], row["label"], row["found"]


def _key(value: Any, group_by: str | None) -> str:
    if group_by == "policy_version" and value:
        return ids.public_id(ids.POLICY_VERSION, uuid.UUID(str(value)))
    return "" if value is None else str(value)
