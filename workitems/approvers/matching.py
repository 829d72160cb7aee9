"""Matching of approvers to the leaves of one demand, such that the most are filled. Pure.

A candidate can fill a leaf by their own roles, groups, name or scopes, and by those of a delegator. No human counts
twice: among candidates that share an identity (a delegate and the delegator, or two delegates of one member) at most
one is placed.
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
"""Up to this number of overlapping delegates, all combinations are tried; above it, one delegate at a time."""


@dataclass(frozen=True, slots=True)
class Approver:
    """Principal as seen by approval rules; `scopes` are those held on the workflow of the step.

    `also` contains further leaves (`role:finance`) for which the approver is eligible without having the role.
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
    """Approver whose vote may count. `identities` are the approver and the delegators."""

    id: uuid.UUID
    identities: tuple[Approver, ...]

    def is_eligible_for(self, leaf: Leaf, stand_ins: Collection[Leaf]) -> bool:
        """Return True if the candidate may fill `leaf`. A match with one of `stand_ins` may fill any leaf."""
        return any(is_eligible_for(identity, wanted) for identity in self.identities for wanted in (leaf, *stand_ins))


def is_eligible_for(approver: Approver, leaf: Leaf) -> bool:
    """Return True if the approver matches the leaf, without delegations."""
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
    """Return, for each candidate who shares an identity with others, the ids of those others."""
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
    """Yield sets of candidates in which no two share an identity. Usually this is one set: all of them."""
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
    assert best is not None  # noqa: S101 (the set without delegates always exists)
    return best


def _rank(assignment: Assignment) -> tuple[bool, int]:
    return not assignment.reachable, assignment.missing


class _Matching:
    """Maximum bipartite matching by augmenting paths.

    Candidates who approved are placed first; once placed, they may only move to another leaf. Undecided candidates are
    placed after them, to find out whether the rest can be reached. Therefore the undecided candidates could fill every
    leaf that the approvals leave open.
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
        """Return the leaf of each of `ids` that is placed."""
        return {
            candidate.id: leaf
            for leaf, placed in zip(self._demand, self._placed, strict=True)
            for candidate in placed
            if candidate.id in ids
        }

    def place(self, candidates: Sequence[Candidate]) -> None:
        """Place as many candidates as possible, first those that move nobody, so that early leaves stay filled."""
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
        for similar in left.values():
            for candidate in similar:
                if self.is_full or not self._augment(candidate, set()):
                    break  # no later path can place this candidate, nor one with the same options

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
