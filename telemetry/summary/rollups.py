"""Which of the kept sums answers a question: those by one dimension, where no more than that one is asked about. Pure.

Counts are kept for every combination of the dimensions that occurred; of many workflows, versions and integrations
these are very many. The sums by day and one dimension are few, and contain the same metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ALL = ""
"""The dimension of sums over all of a day."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Sums by `dimension`; those under `key` alone, unless it is None."""

    dimension: str
    key: str | None = None


def slice_for(chosen: Mapping[str, str], group_by: str | None) -> Slice | None:
    """The sums that answer for `chosen` (value by dimension), grouped by a dimension or day; None: none of them do."""
    grouped = ALL if group_by in (None, "day") else group_by
    if not chosen:
        return Slice(grouped or ALL)
    if len(chosen) > 1:
        return None
    ((dimension, key),) = chosen.items()
    return Slice(dimension, key) if grouped in (ALL, dimension) else None
