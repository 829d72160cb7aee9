"""Counting votes against an approval rule: the one place that decides who counts and whether it is enough.

API, console and jobs all ask here. Only humans count: a service or an agent may advise, and no rule can change that.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, assert_never

from policies.approvals import ApprovalRule, Demand, Leaf, demands, leaves
from threada_site.kernel.context import PrincipalKind


class Eligibility(StrEnum):
    """Whether one principal's decision counts on a step."""

    COUNTS = "counts"
    EXCLUDED = "excluded"
    NOT_ELIGIBLE = "not_eligible"


class Outcome(StrEnum):
    """What the votes so far amount to."""

    APPROVED = "approved"
    REJECTED = "rejected"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Person:
    """A principal as rules see it: `name` is the principal's name, `scopes` are those held on the step's workflow."""

    id: uuid.UUID
    kind: PrincipalKind
    name: str
    roles: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Vote:
    """One decision on the step. `kind` is the principal's when it voted."""

    person_id: uuid.UUID
    kind: PrincipalKind
    decision: Literal["approve", "reject"]
    at: datetime


@dataclass(frozen=True, slots=True)
class Need:
    """How many more people a leaf waits for."""

    leaf: Leaf
    missing: int


@dataclass(frozen=True, slots=True)
class Tally:
    """The outcome and what it rests on.

    `counted` says at which leaf each counted approval stands; an approval beyond what is needed stands at none.
    `waiting_for` is what is still missing in the alternative that can be reached with the fewest votes, and empty once
    decided. `nobody_can_decide`: it waits, and the people there are cannot complete any alternative.
    """

    outcome: Outcome
    waiting_for: tuple[Need, ...]
    counted: Mapping[uuid.UUID, Leaf]
    rejected_by: tuple[uuid.UUID, ...]
    nobody_can_decide: bool


def eligibility(rule: ApprovalRule, person: Person, excluded: Collection[uuid.UUID]) -> Eligibility:
    """Whether this person's decision counts under the rule; `excluded` are the people its `exclude` stands for here."""
    if person.kind is not PrincipalKind.HUMAN:
        return Eligibility.NOT_ELIGIBLE
    if person.id in excluded:
        return Eligibility.EXCLUDED
    if any(_stands_at(person, leaf) for leaf in leaves(rule.tree)):
        return Eligibility.COUNTS
    return Eligibility.NOT_ELIGIBLE


def tally(
    rule: ApprovalRule, votes: Sequence[Vote], people: Iterable[Person], *, excluded: Collection[uuid.UUID] = ()
) -> Tally:
    """What `votes` amount to under `rule`. Their order makes no difference.

    `people` are all who could still decide and all who voted; a vote of anybody else does not count. If a person's
    votes disagree, the reject stands.
    """
    deciders = sorted(
        (person for person in people if eligibility(rule, person, excluded) is Eligibility.COUNTS),
        key=lambda person: person.id,
    )
    human = [vote for vote in votes if vote.kind is PrincipalKind.HUMAN]
    rejecting = {vote.person_id for vote in human if vote.decision == "reject"}
    approving = {vote.person_id for vote in human if vote.decision == "approve"} - rejecting
    rejected_by = tuple(person.id for person in deciders if person.id in rejecting)
    approvers = [person for person in deciders if person.id in approving]
    others = [person for person in deciders if person.id not in approving | rejecting]
    best = min(
        (_Filling(demand, approvers, others) for demand in demands(rule.tree)),
        key=lambda filling: (not filling.reachable, filling.missing),
    )
    if len(rejected_by) >= rule.veto:
        outcome = Outcome.REJECTED
    else:
        outcome = Outcome.WAITING if best.missing else Outcome.APPROVED
    waiting = outcome is Outcome.WAITING
    return Tally(
        outcome=outcome,
        waiting_for=best.needs if waiting else (),
        counted=MappingProxyType(best.counted),
        rejected_by=rejected_by,
        nobody_can_decide=waiting and not best.reachable,
    )


def _stands_at(person: Person, leaf: Leaf) -> bool:
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


class _Filling:
    """One demand with people at its leaves: a maximum matching, found by augmenting paths.

    Those who approved come first and, once placed, only ever move to another leaf; those who have not voted follow, to
    see whether the rest can be reached. What the first leave open is therefore always something the others could fill.
    """

    def __init__(self, demand: Demand, approvers: Sequence[Person], others: Sequence[Person]) -> None:
        self._demand = demand
        self._size = sum(leaf.count for leaf in demand)
        self._placed: list[list[Person]] = [[] for _ in demand]
        self._options: dict[uuid.UUID, tuple[int, ...]] = {}
        self._place(approvers)
        approved = {person.id for person in approvers}
        self._place(others)
        self.reachable = sum(map(len, self._placed)) == self._size
        self.counted = {
            person.id: leaf
            for leaf, placed in zip(demand, self._placed, strict=True)
            for person in placed
            if person.id in approved
        }
        self.missing = self._size - len(self.counted)

    @property
    def needs(self) -> tuple[Need, ...]:
        standing = list(self.counted.values())
        needs = (Need(leaf, leaf.count - standing.count(leaf)) for leaf in self._demand)
        return tuple(need for need in needs if need.missing)

    def _place(self, people: Sequence[Person]) -> None:
        """Place as many of `people` as possible. Whom no path can place now, no later path can: skip their likes."""
        hopeless: set[tuple[int, ...]] = {()}
        filled = sum(map(len, self._placed))
        for person in people:
            if filled == self._size:
                return
            options = tuple(index for index, leaf in enumerate(self._demand) if _stands_at(person, leaf))
            self._options[person.id] = options
            if options in hopeless:
                continue
            if self._augment(person, set()):
                filled += 1
            else:
                hopeless.add(options)

    def _augment(self, person: Person, seen: set[int]) -> bool:
        for index in self._options[person.id]:
            if index in seen:
                continue
            seen.add(index)
            placed = self._placed[index]
            if len(placed) < self._demand[index].count:
                placed.append(person)
                return True
            for position, other in enumerate(placed):
                if self._augment(other, seen):
                    placed[position] = person
                    return True
        return False
