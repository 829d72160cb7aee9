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
class Person:
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
    """Somebody who may count: `faces` are themselves and the people whose delegate they are."""

    id: uuid.UUID
    faces: tuple[Person, ...]

    def stands_at(self, leaf: Leaf, stand_ins: Collection[Leaf]) -> bool:
        """Whether they may fill `leaf`; whoever stands at one of `stand_ins` may fill any."""
        return any(stands_at(face, wanted) for face in self.faces for wanted in (leaf, *stand_ins))


def stands_at(person: Person, leaf: Leaf) -> bool:
    """Whether a leaf asks for this person, by what they are themselves."""
    if f"{leaf.kind}:{leaf.name}" in person.also:
        return True
    match leaf.kind:
        case "role":
            return leaf.name in person.roles
        case "group":
            return leaf.name in person.groups
        case "user":
            return leaf.name == person.name
        case "scope":
            return leaf.name in person.scopes
        case _ as never:
            assert_never(never)


def sharing(candidates: Iterable[Candidate]) -> dict[uuid.UUID, set[uuid.UUID]]:
    """Of each candidate the others with whom they share a human; those who share none are left out."""
    by_human: dict[uuid.UUID, set[uuid.UUID]] = {}
    for candidate in candidates:
        for face in candidate.faces:
            by_human.setdefault(face.id, set()).add(candidate.id)
    shared: dict[uuid.UUID, set[uuid.UUID]] = {}
    for together in by_human.values():
        if len(together) > 1:
            for one in together:
                shared.setdefault(one, set()).update(together - {one})
    return shared


def hands(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """Ways to take candidates of whom no two share a human; in the usual case there is one: all of them."""
    shared = sharing(candidates)
    bound = [candidate.id for candidate in candidates if len(candidate.faces) > 1 and candidate.id in shared]
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
class Filling:
    """A demand with people at its leaves. `reachable`: those who have not voted could fill what is missing."""

    demand: Demand
    counted: Mapping[uuid.UUID, Leaf]
    reachable: bool

    @property
    def missing(self) -> int:
        return sum(leaf.count for leaf in self.demand) - len(self.counted)


def fill(
    demand: Demand, approvers: Sequence[Candidate], others: Sequence[Candidate], stand_ins: Collection[Leaf]
) -> Filling:
    """The filling with the fewest missing, and of these one that `others` can complete, if there is one."""
    best: Filling | None = None
    for placed_first in hands(approvers):
        for placed_after in hands(others):
            matching = _Matching(demand, stand_ins)
            matching.place(placed_first)
            approved = {candidate.id for candidate in placed_first}
            matching.place(placed_after)
            filling = Filling(demand, matching.placed_of(approved), matching.is_full)
            if best is None or _rank(filling) < _rank(best):
                best = filling
            if filling.reachable:
                break
    assert best is not None  # noqa: S101 (there is always the way that takes no delegate)
    return best


def _rank(filling: Filling) -> tuple[bool, int]:
    return not filling.reachable, filling.missing


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
                index for index, leaf in enumerate(self._demand) if candidate.stands_at(leaf, self._stand_ins)
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
