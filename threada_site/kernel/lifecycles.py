"""Lifecycles as data: allowed transitions and final states. Each app has its own tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from threada_site.kernel.errors import TransitionNotAllowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle[State: StrEnum]:
    """States and transitions of one kind of object.

    `ends` are states in which the object is closed. Leaving one is an action that the table names explicitly.
    """

    noun: str
    transitions: Mapping[State, frozenset[State]]
    ends: frozenset[State]

    def allows(self, current: State, to: State) -> bool:
        """Return True if `to` may follow `current`."""
        return to in self.transitions[current]

    def is_open(self, state: State) -> bool:
        """Return True if `state` is not an end."""
        return state not in self.ends

    def check_transition(self, current: State, to: State) -> None:
        """Raise `TransitionNotAllowed` with both states and the allowed ones, unless `to` may follow `current`."""
        if self.allows(current, to):
            return
        allowed = sorted(self.transitions[current])
        following = f"It can become {', '.join(allowed)}." if allowed else f"{current.capitalize()} is an end."
        raise TransitionNotAllowed(
            f"{self.noun[0].upper()}{self.noun[1:]} that is {current} cannot become {to}. {following}",
            current=current.value,
            requested=to.value,
            allowed=allowed,
        )
