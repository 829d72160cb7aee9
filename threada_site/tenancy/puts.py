"""`put`: bring a thing that people name into a given state, whether it exists already or not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
