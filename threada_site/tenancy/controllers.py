"""Control of a principal: known people, or `UNKNOWN`, who is independent of nobody. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Unknown(Enum):
    """Type of `UNKNOWN`."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN
"""Control of a principal if not everybody who controls it is known."""


@dataclass(frozen=True, slots=True)
class Controllers:
    """Known people who control one or several principals. Compare them with `share_nobody`."""

    people: frozenset[uuid.UUID] = frozenset()


type Control = Controllers | Unknown
NOBODY: Final = Controllers()


def joined(controls: Iterable[Control]) -> Control:
    """Return the control of several principals together: `UNKNOWN` if one of them is."""
    people: set[uuid.UUID] = set()
    for control in controls:
        if control is UNKNOWN:
            return UNKNOWN
        people |= control.people
    return Controllers(frozenset(people))


def share_nobody(one: Control, other: Control) -> bool:
    """Return True if both are known and no person is among both."""
    return one is not UNKNOWN and other is not UNKNOWN and one.people.isdisjoint(other.people)


def control_of(found: Iterable[uuid.UUID] | None, *principals: uuid.UUID) -> Control:
    """Return the control from a result of `threada_controllers`, with `principals` themselves."""
    return UNKNOWN if found is None else Controllers(frozenset({*principals, *found}))
