"""Lifecycles as data: which state may follow which, and which states are ends. Every app keeps its own tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from threada_site.kernel.errors import TransitionNotAllowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle[State: StrEnum]:
    """One thing's states and transitions.

    `ends` are the states in which the thing is closed; leaving one takes an action of its own that the table names.
    """

    noun: str
    transitions: Mapping[State, frozenset[State]]
    ends: frozenset[State]

    def allows(self, current: State, to: State) -> bool:
        """Whether `to` may follow `current`."""
        return to in self.transitions[current]

    def is_open(self, state: State) -> bool:
        """Whether work on it is still to come."""
        return state not in self.ends

    def check_transition(self, current: State, to: State) -> None:
        """Raise `TransitionNotAllowed`, naming both states and what is allowed, unless `to` may follow `current`."""
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
