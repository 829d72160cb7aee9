"""`put`: bring a thing that people name into a given state, whether it exists already or not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db.models import Max


class Change(StrEnum):
    """What a `put` did."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Put[Row]:
    """A row as it is now, and what was done to bring it there. Nothing changed: no receipt."""

    row: Row
    change: Change

    @property
    def is_new(self) -> bool:
        return self.change is Change.CREATED


def next_number(versions: Any) -> int:
    """The number of the next version of something, whose row is locked: one that was withdrawn goes on counting."""
    last: int | None = versions.aggregate(last=Max("number"))["last"]
    return (last or 0) + 1
