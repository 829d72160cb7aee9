"""Matching of approvers to the leaves of one demand, such that the most are filled. Pure.

A candidate can fill a leaf by their own roles, groups, name or scopes, and by those of a delegator. Of candidates who
depend on each other (see `workitems.approvers.independent_groups`) at most one is placed.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from policies.language.approvals import Demand, Leaf
from workitems.approvers.candidates import Candidate, Group
from workitems.approvers.independent_groups import independent_groups

MOST_SETS: Final = 256
"""Maximum number of sets of independent approvals that one assignment tries."""
MOST_FURTHER_SETS: Final = 16
"""Maximum number of sets of independent people who have not voted."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Demand with candidates placed at its leaves. `reachable`: undecided candidates could fill the rest."""

    demand: Demand
    counted: Mapping[uuid.UUID, Leaf]
    reachable: bool

    @property
    def missing(self) -> int:
        return sum(leaf.count for leaf in self.demand) - len(self.counted)


def assign(
    demand: Demand, approved: Sequence[Candidate], undecided: Sequence[Candidate], stand_ins: Collection[Leaf]
) -> Assignment:
    """Return the assignment with the fewest missing approvals, preferring one that `undecided` can complete."""
    further = list(independent_groups(undecided, most=MOST_FURTHER_SETS))
    best: Assignment | None = None
    for groups in independent_groups(approved, most=MOST_SETS):
        for placed_after in further:
            matching = _Matching(demand, stand_ins)
            matching.place(groups)
            placed_ids = {group.id for group in groups}
            matching.place(placed_after)
            assignment = Assignment(demand, matching.placed_of(placed_ids), matching.is_full)
            if best is None or _rank(assignment) < _rank(best):
                best = assignment
            if assignment.reachable:
                break
        if best is not None and not best.missing:
            break
    assert best is not None  # noqa: S101 (there is always one set of groups)
    return best


def _rank(assignment: Assignment) -> tuple[bool, int]:
    return not assignment.reachable, assignment.missing


class _Matching:
    """Maximum bipartite matching by augmenting paths.

    Groups of candidates who approved are placed first; once placed, they may only move to another leaf. Undecided ones
    are placed after them, to find out whether the rest can be reached. Therefore the undecided candidates could fill
    every leaf that the approvals leave open. Each group fills one place.
    """

    def __init__(self, demand: Demand, stand_ins: Collection[Leaf]) -> None:
        self._demand = demand
        self._stand_ins = stand_ins
        self._size = sum(leaf.count for leaf in demand)
        self._placed: list[list[Group]] = [[] for _ in demand]
        self._options: dict[uuid.UUID, tuple[int, ...]] = {}

    @property
    def is_full(self) -> bool:
        return sum(map(len, self._placed)) == self._size

    def placed_of(self, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Leaf]:
        """Return the leaf of each group of `ids` that is placed, with the candidate who fills it."""
        return {
            group.candidate_for(leaf, self._stand_ins).id: leaf
            for leaf, placed in zip(self._demand, self._placed, strict=True)
            for group in placed
            if group.id in ids
        }

    def place(self, groups: Sequence[Group]) -> None:
        """Place as many groups as possible, first those that move nobody, so that early leaves stay filled."""
        if self.is_full:
            return
        left: dict[tuple[int, ...], list[Group]] = {}
        for group in groups:
            options = tuple(
                index for index, leaf in enumerate(self._demand) if group.is_eligible_for(leaf, self._stand_ins)
            )
            self._options[group.id] = options
            if not self._place_freely(group) and options:
                left.setdefault(options, []).append(group)
        for similar in left.values():
            for group in similar:
                if self.is_full or not self._augment(group, set()):
                    break  # no later path can place this group, nor one with the same options

    def _place_freely(self, group: Group) -> bool:
        for index in self._options[group.id]:
            if len(self._placed[index]) < self._demand[index].count:
                self._placed[index].append(group)
                return True
        return False

    def _augment(self, group: Group, seen: set[int]) -> bool:
        for index in self._options[group.id]:
            if index in seen:
                continue
            seen.add(index)
            placed = self._placed[index]
            if len(placed) < self._demand[index].count:
                placed.append(group)
                return True
            for position, other in enumerate(placed):
                if self._augment(other, seen):
                    placed[position] = group
                    return True
        return False
