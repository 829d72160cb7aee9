"""Vote counting: the only place that decides which votes count and whether they are enough.

API, console and jobs use it. Only votes of humans count. Services and agents can only advise; no rule changes that.
Pure.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from policies.language.approvals import (
    AllOf,
    ApprovalRule,
    Demand,
    Leaf,
    LeafKind,
    Node,
    Opened,
    Tree,
    demands,
    leaves,
    leaves_of,
    opened_part,
    ranks,
    stage_of,
    tracks,
    whole,
)
from threada_site.kernel.context import PrincipalKind
from threada_site.tenancy.controllers import NOBODY, UNKNOWN, Control, Controllers, joined, share_nobody
from workitems.approvers.candidates import Approver, Candidate
from workitems.approvers.independent_groups import largest_independent
from workitems.approvers.matching import MOST_SETS, Assignment, assign

__all__ = [
    "Approver",
    "Eligibility",
    "Need",
    "Outcome",
    "Vote",
    "VoteResult",
    "count_votes",
    "eligibility",
    "excluded_transitively",
    "with_principals",
]

type StandsFor = Mapping[uuid.UUID, Collection[uuid.UUID]]
"""Delegations: id of a delegate → ids of the delegators."""


class Eligibility(StrEnum):
    """Result of the check whether a principal's vote counts. `NOT_YET`: it counts once a later stage is open.

    `DEPENDENT_ON_EXCLUDED`: the account depends on an excluded person, or both on one third person, or nobody knows who
    controls one of the two. `NOT_INDEPENDENT`:
    an approval cannot count beside a vote that was cast. `NOT_ACCEPTED`: the invitation was not accepted. `LATE`: the
    grants it needs began after the first step of the item opened, and nobody has confirmed them.
    """

    COUNTS = "counts"
    EXCLUDED = "excluded"
    DEPENDENT_ON_EXCLUDED = "dependent_on_excluded"
    NOT_ACCEPTED = "not_accepted"
    NOT_INDEPENDENT = "not_independent"
    LATE = "late"
    NOT_ELIGIBLE = "not_eligible"
    NOT_YET = "not_yet"


class Outcome(StrEnum):
    """Outcome of the votes cast so far."""

    APPROVED = "approved"
    REJECTED = "rejected"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Vote:
    """One vote on the step. `kind` is the kind of the principal at the time of the vote."""

    voter_id: uuid.UUID
    kind: PrincipalKind
    decision: Literal["approve", "reject"]
    at: datetime


@dataclass(frozen=True, slots=True)
class Need:
    """Number of approvers that a leaf still requires."""

    leaf: Leaf
    missing: int


@dataclass(frozen=True, slots=True)
class VoteResult:
    """Outcome of a vote count, with its details.

    `counted` maps each counted approver to the leaf that the approval fills; surplus approvals are not in it.
    `waiting_for` contains the missing approvals of the open stages, for the alternative that needs the fewest votes; it
    is empty once decided. `missing` is the number of missing votes over all stages. `nobody_can_decide` is True if the
    step is undecided and the known approvers cannot complete any alternative. `opened` contains the number of open
    stages per track (see `approvals.tracks`); `stage` and `stages` are the same for display, 1 of 1 for a rule without
    stages. `voters` contains the voters whose votes may count.
    """

    outcome: Outcome
    waiting_for: tuple[Need, ...]
    counted: Mapping[uuid.UUID, Leaf]
    rejected_by: tuple[uuid.UUID, ...]
    nobody_can_decide: bool
    missing: int = 0
    opened: Opened = (1,)
    stage: int = 1
    stages: int = 1
    voters: frozenset[uuid.UUID] = frozenset()


def excluded_transitively(excluded: Collection[uuid.UUID], stands_for: StandsFor) -> frozenset[uuid.UUID]:
    """Return `excluded`, the delegators of excluded members, and every delegate of any of these."""
    out = set(with_principals(excluded, stands_for))
    while more := {principal for principal, others in stands_for.items() if not out.isdisjoint(others)} - out:
        out |= more
    return frozenset(out)


def with_principals(excluded: Collection[uuid.UUID], stands_for: StandsFor) -> frozenset[uuid.UUID]:
    """Return `excluded` and the delegators of the excluded members."""
    return frozenset(excluded).union(*(stands_for.get(principal, ()) for principal in excluded))


def eligibility(
    rule: ApprovalRule,
    approver: Approver,
    excluded: Collection[uuid.UUID],
    *,
    delegators: Iterable[Approver] = (),
    stand_ins: Collection[Leaf] = (),
    opened: Opened | None = None,
    excluded_controllers: Control = NOBODY,
) -> Eligibility:
    """Return whether the vote of this approver counts under the rule. `excluded` are ids of excluded members.

    `delegators` are the members for whom the approver is a delegate: the approver is eligible where they are, and
    excluded if one of them is. An approver who matches one of `stand_ins` is eligible for every leaf. `opened` None
    means that all stages are open. `excluded_controllers` are the people who control the accounts of excluded members.
    An account of unknown control is independent of nobody: its vote never counts.
    """
    if approver.kind is not PrincipalKind.HUMAN:
        return Eligibility.NOT_ELIGIBLE
    identities = (approver, *delegators)
    if any(identity.id in excluded for identity in identities):
        return Eligibility.EXCLUDED
    candidate = Candidate(approver.id, identities)
    if not share_nobody(candidate.control, joined((Controllers(frozenset(excluded)), excluded_controllers))):
        return Eligibility.DEPENDENT_ON_EXCLUDED
    now = opened_part(rule.tree, opened) if opened is not None else whole(rule.tree)
    if any(candidate.is_eligible_for(leaf, stand_ins) for leaf in leaves(now)):
        return Eligibility.COUNTS
    if opened is not None and any(candidate.is_eligible_for(leaf, stand_ins) for leaf in leaves_of(rule.tree)):
        return Eligibility.NOT_YET
    return Eligibility.NOT_ELIGIBLE


def count_votes(
    rule: ApprovalRule,
    votes: Sequence[Vote],
    approvers: Iterable[Approver],
    now: datetime | None = None,
    *,
    excluded: Collection[uuid.UUID] = (),
    stands_for: StandsFor = MappingProxyType({}),
    stand_ins: Collection[Leaf] = (),
    excluded_controllers: Control = NOBODY,
) -> VoteResult:
    """Return the result of `votes` under `rule`. The order of the votes does not matter.

    `approvers` are all members who can still vote and all who voted; other votes do not count. Votes after `now` do not
    count (None: all count). If a principal cast several votes, a rejection wins. `stands_for` maps delegates to
    delegators (for a voter: at the time of the vote). An approver who matches one of `stand_ins` can fill any leaf. A
    delegate counts instead of the delegator; both never count together, nor do two people who are not independent (see
    `threada_site.tenancy.independence`). `excluded_controllers` are the people who control accounts of excluded
    members; votes that depend on them do not count. Nor do those of accounts of unknown control.
    """
    out = excluded_transitively(excluded, stands_for)
    count = _Count(
        rule,
        approvers,
        excluded=out,
        stands_for=stands_for,
        stand_ins=stand_ins,
        excluded_controllers=excluded_controllers,
    )
    return count.result([vote for vote in votes if now is None or vote.at <= now])


class _Count:
    """One vote count: first find the candidates, then match their votes to leaves."""

    def __init__(
        self,
        rule: ApprovalRule,
        approvers: Iterable[Approver],
        *,
        excluded: frozenset[uuid.UUID],
        stands_for: StandsFor,
        stand_ins: Collection[Leaf],
        excluded_controllers: Control,
    ) -> None:
        self._rule = rule
        self._stand_ins = stand_ins
        known = {approver.id: approver for approver in approvers if approver.controlled_by is not UNKNOWN}
        self._deciders: dict[uuid.UUID, Candidate] = {}
        for approver in sorted(known.values(), key=lambda one: one.id):
            others = sorted(
                other for other in stands_for.get(approver.id, ()) if other in known and other != approver.id
            )
            delegators = tuple(known[other] for other in others)
            result = eligibility(
                rule,
                approver,
                excluded,
                delegators=delegators,
                stand_ins=stand_ins,
                excluded_controllers=excluded_controllers,
            )
            if result is Eligibility.COUNTS:
                self._deciders[approver.id] = Candidate(approver.id, (approver, *delegators))

    def result(self, votes: Sequence[Vote]) -> VoteResult:
        human = [vote for vote in votes if vote.kind is PrincipalKind.HUMAN and vote.voter_id in self._deciders]
        rejecting = {vote.voter_id for vote in human if vote.decision == "reject"}
        approving = {vote.voter_id for vote in human if vote.decision == "approve"}
        approving -= self._dependent_on(rejecting, among=approving)
        rejecters = self._among(rejecting)
        approved = self._among(approving)
        undecided = self._undecided(approving | rejecting)
        opened = self._opened(approved)
        best = self._best(whole(self._rule.tree), approved, undecided)
        if rejecters and largest_independent(rejecters, most=MOST_SETS) >= self._rule.veto:
            outcome = Outcome.REJECTED
        else:
            outcome = Outcome.WAITING if best.missing else Outcome.APPROVED
        waiting = outcome is Outcome.WAITING
        asked = opened_part(self._rule.tree, opened)
        asking = best if asked is self._rule.tree else self._best(asked, approved, undecided)
        stage, stages = stage_of(self._rule.tree, opened)
        return VoteResult(
            outcome=outcome,
            waiting_for=_needs(asking) if waiting else (),
            counted=MappingProxyType(dict(best.counted)),
            rejected_by=tuple(candidate.id for candidate in rejecters),
            nobody_can_decide=waiting and not best.reachable,
            missing=best.missing if waiting else 0,
            opened=opened,
            stage=stage,
            stages=stages,
            voters=frozenset(approving | rejecting),
        )

    def _among(self, ids: Collection[uuid.UUID]) -> list[Candidate]:
        return [candidate for candidate in self._deciders.values() if candidate.id in ids]

    def _dependent_on(self, ids: Collection[uuid.UUID], *, among: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return those of `among` who are one of `ids`, or not independent of one."""
        controllers = controllers_of(self._among(ids))
        return {one.id for one in self._among(among) if not one.controllers.isdisjoint(controllers)}

    def _undecided(self, voted: set[uuid.UUID]) -> list[Candidate]:
        """Return the candidates who may still vote beside those of `voted`.

        Excludes candidates who are not independent of them, and removes delegators who are not.
        """
        voters = self._among(voted)
        used = Controllers(controllers_of(voters))
        undecided = []
        for one in self._deciders.values():
            own, *delegators = one.identities
            taken = any(who.id in voted for who in delegators)
            if one.id in voted or taken or not share_nobody(own.controllers, used):
                continue
            free = (delegator for delegator in delegators if share_nobody(delegator.controllers, used))
            undecided.append(Candidate(one.id, (own, *free)))
        return undecided

    def _best(self, node: Node, approved: Sequence[Candidate], undecided: Sequence[Candidate]) -> Assignment:
        """Return the assignment that needs the fewest further votes; a reachable one if there is any."""
        order = ranks(self._rule.tree)
        assignments = (assign(_by_stage(way, order), approved, undecided, self._stand_ins) for way in demands(node))
        return min(assignments, key=lambda assignment: (not assignment.reachable, assignment.missing))

    def _opened(self, approved: Sequence[Candidate]) -> Opened:
        """Return the number of open stages of each track: the stages filled by approvals, plus one."""
        return tuple(self._opened_of(track, approved) for track in tracks(self._rule.tree))

    def _opened_of(self, track: Sequence[Node], approved: Sequence[Candidate]) -> int:
        for count in range(1, len(track)):
            if self._best(whole(AllOf(tuple(track[:count]))), approved, ()).missing:
                return count
        return len(track)


def controllers_of(candidates: Iterable[Candidate]) -> frozenset[uuid.UUID]:
    """Return the controllers of all `candidates`."""
    return frozenset().union(*(candidate.controllers for candidate in candidates))


def _by_stage(demand: Demand, order: Mapping[tuple[LeafKind, str], int]) -> Demand:
    return tuple(sorted(demand, key=lambda leaf: (order.get((leaf.kind, leaf.name), 0), leaf.kind, leaf.name)))


def _needs(assignment: Assignment) -> tuple[Need, ...]:
    filled = list(assignment.counted.values())
    needs = (Need(leaf, leaf.count - filled.count(leaf)) for leaf in assignment.demand)
    return tuple(need for need in needs if need.missing)


def asked_leaves(tree: Tree, opened: Opened) -> tuple[Leaf, ...]:
    """Return the leaves of the open stages: the approvals that a step requires now."""
    return leaves(opened_part(tree, opened))
