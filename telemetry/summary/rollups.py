"""Selection of the smallest table that answers a query: rollups by one dimension if the query uses at most one. Pure.

Counts exist for every combination of dimensions that occurred, which can be very many rows. The sums by day and one
dimension are few, with the same totals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ALL = ""
"""The dimension of sums over all counts of a day."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Rollups of `dimension`, restricted to `key` unless it is None."""

    dimension: str
    key: str | None = None


def slice_for(chosen: Mapping[str, str], group_by: str | None) -> Slice | None:
    """Return the rollups for the filters `chosen` (value by dimension) and the grouping, or None if no rollup is
    sufficient."""
    grouped = ALL if group_by in (None, "day") else group_by
    if not chosen:
        return Slice(grouped or ALL)
    if len(chosen) > 1:
        return None
    ((dimension, key),) = chosen.items()
    return Slice(dimension, key) if grouped in (ALL, dimension) else None
