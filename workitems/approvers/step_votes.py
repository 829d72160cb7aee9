"""Votes on one decision step with the members who may count: one object for every question about them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

from policies.language.approvals import ApprovalRule, from_json, has_stages
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from workitems.approvers import count_votes
from workitems.approvers.active_members import (
    ActiveMembers,
    acting_approver,
    active_members_of,
    approver_of,
    escalation_leaves,
)
from workitems.approvers.count_votes import Approver, Eligibility, VoteResult
from workitems.models import DecisionStep, Vote


@dataclass(frozen=True)
class StepVotes:
    """Votes on `step`, and members of its tenant: all of them, or at least all voters and the acting principal.

    Reads nothing. Under the lock of the step, one object serves the whole decision: eligibility, delegations, count.
    """

    step: DecisionStep
    votes: tuple[Vote, ...]
    active_members: ActiveMembers
    workflow_id: uuid.UUID

    @cached_property
    def rule(self) -> ApprovalRule:
        return from_json(self.step.rule)

    @cached_property
    def stands_for(self) -> Mapping[uuid.UUID, frozenset[uuid.UUID]]:
        """Delegations on this step (`delegate → delegators`): of voters as of their vote, of all others as of now."""
        return {**self.active_members.stands_for, **{vote.voter_id: frozenset(vote.stands_for) for vote in self.votes}}

    @cached_property
    def excluded(self) -> frozenset[uuid.UUID]:
        """Ids of the members excluded from the step, including their delegates and delegators."""
        return count_votes.excluded_transitively(self.step.excluded_ids, self.stands_for)

    @cached_property
    def voters(self) -> frozenset[uuid.UUID]:
        return frozenset(vote.voter_id for vote in self.votes)

    @cached_property
    def result(self) -> VoteResult:
        """Result of the votes, with delegations and escalation targets."""
        return count_votes.count_votes(
            self.rule,
            [
                count_votes.Vote(
                    vote.voter_id, PrincipalKind(vote.voter_kind), cast("Any", vote.decision), vote.created_at
                )
                for vote in self.votes
            ],
            self._approvers.values(),
            excluded=self.step.excluded_ids,
            stands_for=self.stands_for,
            stand_ins=escalation_leaves(self.step.escalated_to),
        )

    def with_vote(self, vote: Vote) -> StepVotes:
        """Return the same step with one more vote."""
        return replace(self, votes=(*self.votes, vote))

    def eligibility_of(self, ctx: ActingContext) -> Eligibility:
        """Return whether the vote of the acting principal counts. Used by API, console and `explain`."""
        return self._eligibility(acting_approver(ctx, workflow_id=self.workflow_id))

    def eligible_ids(self) -> set[uuid.UUID]:
        """Return the ids of the members whose vote counts."""
        return {one.id for one in self._approvers.values() if self._eligibility(one) is Eligibility.COUNTS}

    @cached_property
    def _approvers(self) -> dict[uuid.UUID, Approver]:
        """The members who hold `decisions:decide` on the workflow. Nobody stands in for others: they have no seat."""
        return {
            member.id: approver_of(member, workflow_id=self.workflow_id)
            for member in self.active_members
            if Scope.DECISIONS_DECIDE in member.scopes_on(self.workflow_id)
        }

    def _eligibility(self, approver: Approver) -> Eligibility:
        """Return the eligibility of one approver.

        A delegate no longer acts for a delegator once that delegator, or another delegate of theirs, has voted.
        """
        taken = principals_of(vote for vote in self.votes if vote.voter_id != approver.id)
        delegators = [
            self._approvers[delegator]
            for delegator in self.stands_for.get(approver.id, ())
            if delegator in self._approvers and delegator not in taken
        ]
        return count_votes.eligibility(
            self.rule,
            approver,
            self.excluded,
            delegators=delegators,
            stand_ins=escalation_leaves(self.step.escalated_to),
            opened=self.result.opened if has_stages(self.rule.tree) else None,
        )


def read_step_votes(step: DecisionStep, *, workflow_id: uuid.UUID, acting: ActingContext | None = None) -> StepVotes:
    """Read the votes on a step and the active members: with `acting` only that principal, the voters and delegators.

    Runs three statements.
    """
    votes = tuple(votes_on(step))
    among = None if acting is None else principals_of(votes) | {acting.principal_id}
    return StepVotes(step, votes, active_members_of(step.tenant_id, among=among), workflow_id)


def principals_of(votes: Iterable[Vote]) -> set[uuid.UUID]:
    """Return the ids of the voters and of the delegators they voted for."""
    return {principal for vote in votes for principal in (vote.voter_id, *vote.stands_for)}


def votes_on(step: DecisionStep) -> list[Vote]:
    """Return all votes on a step with their voters, the oldest first."""
    return list(Vote.objects.filter(tenant_id=step.tenant_id, step=step).select_related("voter").order_by("id"))
