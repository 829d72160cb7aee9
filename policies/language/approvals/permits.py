"""Limits of permits that a rule allows: an approver may then approve a bounded series instead of one execution.

The limits are upper limits. The permit that approvers agree on states its own.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from policies.language.durations import format_duration, parse_duration

MAX_USES: Final = 10_000
SUM_FIELD: Final = r"(input|item\.payload)(\.[A-Za-z_][A-Za-z0-9_]{0,63}){1,8}"
"""Path of a number, written as conditions write it: `input.amount`, `item.payload.total`."""


@dataclass(frozen=True, slots=True)
class SumLimit:
    """Largest sum of the numbers that `field` names in the facts of each use."""

    field: str
    at_most: Decimal

    def as_json(self) -> dict[str, Any]:
        return {"field": self.field, "at_most": plain_number(self.at_most)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitLimits:
    """Upper limits of a permit: number of uses, time from its proposal to its end, and a sum."""

    max_count: int
    max_valid_for: timedelta
    max_sum: SumLimit | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the limits in document form."""
        return {
            "max_count": self.max_count,
            "max_valid_for": format_duration(self.max_valid_for),
            **({"max_sum": self.max_sum.as_json()} if self.max_sum else {}),
        }


def limits_from_json(value: Mapping[str, Any]) -> PermitLimits:
    """Return the limits that `as_json` serialized."""
    return PermitLimits(
        max_count=value["max_count"],
        max_valid_for=parse_duration(value["max_valid_for"]),
        max_sum=sum_from_json(value.get("max_sum")),
    )


def sum_from_json(value: Mapping[str, Any] | None) -> SumLimit | None:
    """Return the sum that `as_json` serialized, or None."""
    return SumLimit(value["field"], exact_number(value["at_most"])) if value else None


def merge_limits(limits: Sequence[PermitLimits | None]) -> PermitLimits | None:
    """Return the limits that satisfy all rules. None if a rule allows no permits, or if two rules sum other fields."""
    return functools.reduce(_both, limits)


def _both(one: PermitLimits | None, other: PermitLimits | None) -> PermitLimits | None:
    if one is None or other is None:
        return None
    sums = [each for each in (one.max_sum, other.max_sum) if each is not None]
    if len({each.field for each in sums}) > 1:
        return None
    return PermitLimits(
        max_count=min(one.max_count, other.max_count),
        max_valid_for=min(one.max_valid_for, other.max_valid_for),
        max_sum=min(sums, key=lambda each: each.at_most, default=None),
    )


def exact_number(value: float) -> Decimal:
    """Return a JSON number as it is written."""
    return Decimal(str(value))


def plain_number(value: Decimal) -> int | float:
    """Return a number for JSON, without a fraction if it has none."""
    return int(value) if value == value.to_integral_value() else float(value)
