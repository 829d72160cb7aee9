"""Placing people at the leaves of one demand, so that the most are filled. Pure.

A candidate stands where their own roles, groups, name or scopes put them, and where those put somebody whose delegate
they are. No human is there twice: of candidates who share one, as a delegate and whoever they stand for do, or two
delegates of the same person, at most one is placed.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from policies.language.approvals import Demand, Leaf
from threada_site.kernel.context import PrincipalKind

MOST_CHOICES: Final = 8
"""Of so many delegates whose own people are there too, every choice is tried; of more, one at a time."""


@dataclass(frozen=True, slots=True)
class Approver:
    """A principal as rules see it: `name` is the principal's name, `scopes` are those held on the step's workflow.

    `also` names leaves (`role:finance`) where the person stands without being of them.
    """

    id: uuid.UUID
    kind: PrincipalKind
    name: str
    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who may count: `identities` are themselves and the people whose delegate they are."""

    id: uuid.UUID
    identities: tuple[Approver, ...]

    def is_eligible_for(self, leaf: Leaf, stand_ins: Collection[Leaf]) -> bool:
        """Whether they may fill `leaf`; whoever stands at one of `stand_ins` may fill any."""
        return any(is_eligible_for(identity, wanted) for identity in self.identities for wanted in (leaf, *stand_ins))


def is_eligible_for(approver: Approver, leaf: Leaf) -> bool:
    """Whether a leaf asks for this person, by what they are themselves."""
    if f"{leaf.kind}:{leaf.name}" in approver.also:
        return True
    match leaf.kind:
        case "role":
            return leaf.name in approver.roles
        case "group":
            return leaf.name in approver.groups
        case "user":
            return leaf.name == approver.name
        case "scope":
            return leaf.name in approver.scopes
        case _ as never:
            assert_never(never)


def overlapping_candidates(candidates: Iterable[Candidate]) -> dict[uuid.UUID, set[uuid.UUID]]:
    """Of each candidate the others with whom they share a human; those who share none are left out."""
    by_human: dict[uuid.UUID, set[uuid.UUID]] = {}
    for candidate in candidates:
        for identity in candidate.identities:
            by_human.setdefault(identity.id, set()).add(candidate.id)
    shared: dict[uuid.UUID, set[uuid.UUID]] = {}
    for together in by_human.values():
        if len(together) > 1:
            for one in together:
                shared.setdefault(one, set()).update(together - {one})
    return shared


def independent_sets(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """Ways to take candidates of whom no two share a human; in the usual case there is one: all of them."""
    shared = overlapping_candidates(candidates)
    bound = [candidate.id for candidate in candidates if len(candidate.identities) > 1 and candidate.id in shared]
    if not bound:
        yield list(candidates)
        return
    most = len(bound) if len(bound) <= MOST_CHOICES else 1
    for size in range(most + 1):
        for kept in itertools.combinations(bound, size):
            replaced = {other for delegate in kept for other in shared[delegate]}
            if replaced.isdisjoint(kept):
                dropped = (set(bound) - set(kept)) | replaced
                yield [candidate for candidate in candidates if candidate.id not in dropped]


@dataclass(frozen=True, slots=True)
class Assignment:
    """A demand with people at its leaves. `reachable`: those who have not voted could fill what is missing."""

    demand: Demand
    counted: Mapping[uuid.UUID, Leaf]
    reachable: bool

    @property
    def missing(self) -> int:
        return sum(leaf.count for leaf in self.demand) - len(self.counted)


def assign(
    demand: Demand, approved: Sequence[Candidate], undecided: Sequence[Candidate], stand_ins: Collection[Leaf]
) -> Assignment:
    """The assignment with the fewest missing, and of these one that `others` can complete, if there is one."""
    best: Assignment | None = None
    for placed_first in independent_sets(approved):
        for placed_after in independent_sets(undecided):
            matching = _Matching(demand, stand_ins)
            matching.place(placed_first)
            placed_ids = {candidate.id for candidate in placed_first}
            matching.place(placed_after)
            assignment = Assignment(demand, matching.placed_of(placed_ids), matching.is_full)
            if best is None or _rank(assignment) < _rank(best):
                best = assignment
            if assignment.reachable:
                break
    assert best is not None  # noqa: S101 (there is always the way that takes no delegate)
    return best


def _rank(assignment: Assignment) -> tuple[bool, int]:
    return not assignment.reachable, assignment.missing


class _Matching:
    """A maximum matching, found by augmenting paths.

    Those who approved come first and, once placed, only ever move to another leaf; those who have not voted follow, to
    see whether the rest can be reached. What the first leave open is therefore always something the others could fill.
    """

    def __init__(self, demand: Demand, stand_ins: Collection[Leaf]) -> None:
        self._demand = demand
        self._stand_ins = stand_ins
        self._size = sum(leaf.count for leaf in demand)
        self._placed: list[list[Candidate]] = [[] for _ in demand]
        self._options: dict[uuid.UUID, tuple[int, ...]] = {}

    @property
    def is_full(self) -> bool:
        return sum(map(len, self._placed)) == self._size

    def placed_of(self, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Leaf]:
        """At which leaf each of `ids` stands, of those who stand at one."""
        return {
            candidate.id: leaf
            for leaf, placed in zip(self._demand, self._placed, strict=True)
            for candidate in placed
            if candidate.id in ids
        }

    def place(self, candidates: Sequence[Candidate]) -> None:
        """Place as many as possible: first whoever moves nobody, so that who is there stays at an early leaf."""
        if self.is_full:
            return
        left: dict[tuple[int, ...], list[Candidate]] = {}
        for candidate in candidates:
            options = tuple(
                index for index, leaf in enumerate(self._demand) if candidate.is_eligible_for(leaf, self._stand_ins)
            )
            self._options[candidate.id] = options
            if not self._place_freely(candidate) and options:
                left.setdefault(options, []).append(candidate)
        for alike in left.values():
            for candidate in alike:
                if self.is_full or not self._augment(candidate, set()):
                    break  # whom no path can place now, no later path can, nor anybody with the same options

    def _place_freely(self, candidate: Candidate) -> bool:
        for index in self._options[candidate.id]:
            if len(self._placed[index]) < self._demand[index].count:
                self._placed[index].append(candidate)
                return True
        return False

    def _augment(self, candidate: Candidate, seen: set[int]) -> bool:
        for index in self._options[candidate.id]:
            if index in seen:
                continue
            seen.add(index)
            placed = self._placed[index]
            if len(placed) < self._demand[index].count:
                placed.append(candidate)
                return True
            for position, other in enumerate(placed):
                if self._augment(other, seen):
                    placed[position] = candidate
                    return True
        return False
