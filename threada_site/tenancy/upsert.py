"""Result of an upsert: an operation that brings a named row into a given state, whether it existed before or not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db.models import Max


class Change(StrEnum):
    """Effect of an upsert on the row."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class UpsertResult[Row]:
    """The row after an upsert, and its change. An unchanged row has no receipt."""

    row: Row
    change: Change

    @property
    def is_new(self) -> bool:
        return self.change is Change.CREATED


def next_number(versions: Any) -> int:
    """Return the next version number; withdrawn versions count too. The caller has locked the parent row."""
    last: int | None = versions.aggregate(last=Max("number"))["last"]
    return (last or 0) + 1
