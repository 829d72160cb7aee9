"""Votes on one decision step with the members who may count: one object for every question about them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from typing import Any, cast

from django.db.models import QuerySet

from policies.language.approvals import ApprovalRule, from_json, has_stages, leaves_of
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.tenancy.controllers import UNKNOWN, Control, Controllers, control_of, joined, share_nobody
from workitems.approvers import count_votes
from workitems.approvers.active_members import (
    ActiveMembers,
    acting_approver,
    active_members_of,
    approver_of,
    escalation_leaves,
)
from workitems.approvers.candidates import Approver
from workitems.approvers.count_votes import Eligibility, VoteResult
from workitems.approvers.timely_grants import DECIDE, late_grants, timely
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
    def excluded_controllers(self) -> Control:
        """The people who control the accounts of excluded members.

        For agents, services and people who left, as of the opening of the step (`controllers_when_opened`).
        """
        return joined(map(self._controllers_of_excluded, self.step.excluded_ids))

    @property
    def unknown_excluded(self) -> tuple[uuid.UUID, ...]:
        """Ids of excluded principals of unknown control. While there are any, nobody can decide."""
        return tuple(who for who in self.step.excluded_ids if self._controllers_of_excluded(who) is UNKNOWN)

    def _controllers_of_excluded(self, who: uuid.UUID) -> Control:
        if who in self.active_members.by_id:
            return self.active_members.by_id[who].controlled_by
        missing = None if who in self.active_members.machines else ()
        stored = self.step.excluded_controllers.get(str(who), missing)
        return control_of(None if stored is None else map(uuid.UUID, stored))

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
            excluded_controllers=self.excluded_controllers,
        )

    def with_vote(self, vote: Vote) -> StepVotes:
        """Return the same step with one more vote."""
        return replace(self, votes=(*self.votes, vote))

    def eligibility_of(self, ctx: ActingContext) -> Eligibility:
        """Return whether the vote of the acting principal counts. Used by API, console and `explain`."""
        member = self.active_members.by_id.get(ctx.principal_id)
        if ctx.is_person and member is None:
            return Eligibility.NOT_ACCEPTED
        approver = acting_approver(ctx, member, workflow_id=self.workflow_id)
        return self._eligibility(self._timely(approver), untimely=approver)

    def dependent_vote(self, approver_id: uuid.UUID) -> Vote | None:
        """Return a vote beside which an approval of this member cannot count; None if there is none.

        The accounts of the two depend on each other, or both on one third person.
        """
        member = self.active_members.by_id.get(approver_id)
        if member is None:
            return None
        control = joined((member.controlled_by, Controllers(frozenset({member.id}))))
        return next(
            (
                vote
                for vote in self.votes
                if vote.voter_id in self.result.voters
                and vote.voter_id != approver_id
                and not share_nobody(control, self._controllers_of_vote(vote))
            ),
            None,
        )

    def name_of(self, member_id: uuid.UUID) -> str:
        """Return the username of an active member."""
        return self.active_members.by_id[member_id].username

    def delegators_of(self, approver_id: uuid.UUID) -> frozenset[uuid.UUID]:
        """Return the members for whom a vote of this member would count, now.

        A delegate no longer acts for a delegator once that delegator, another delegate of theirs, or a member who is
        not independent of that delegator has voted.
        """
        others = [vote for vote in self.votes if vote.voter_id != approver_id]
        taken = principals_of(others)
        used = joined(self._controllers_of_vote(vote) for vote in others if vote.voter_id in self.result.voters)
        return frozenset(
            who
            for who in self.stands_for.get(approver_id, ())
            if who not in taken and who in self._approvers and share_nobody(self._approvers[who].controllers, used)
        )

    def _controllers_of_vote(self, vote: Vote) -> Control:
        """Return the control of a vote that may count: without those delegators whose own control is unknown now."""
        known = self.active_members.by_id
        voting = frozenset({vote.voter_id, *vote.stands_for})
        controls = [known[who].controlled_by for who in voting if who in known]
        return joined((Controllers(voting), *(control for control in controls if control is not UNKNOWN)))

    def eligible_ids(self) -> set[uuid.UUID]:
        """Return the ids of the members whose vote counts."""
        return {one.id for one in self._approvers.values() if self._eligibility(one) is Eligibility.COUNTS}

    def can_vote_ids(self) -> set[uuid.UUID]:
        """Return the ids of the members who can vote now: their vote counts, and nobody has cast theirs."""
        return {who for who in self.eligible_ids() - self.voters if not self.is_represented(who)}

    def is_represented(self, approver_id: uuid.UUID) -> bool:
        """Return True if a delegate or a delegator of a member has voted: they count once together."""
        delegators = self.active_members.stands_for.get(approver_id, ())
        return any(
            vote.counted and (approver_id in vote.stands_for or vote.voter_id in delegators) for vote in self.votes
        )

    @cached_property
    def _approvers(self) -> dict[uuid.UUID, Approver]:
        """The members who hold `decisions:decide` on the workflow. Nobody stands in for others: they have no seat.

        Only grants that count on this step are taken into account.
        """
        approvers = (
            self._timely(approver_of(member, workflow_id=self.workflow_id))
            for member in self.active_members
            if Scope.DECISIONS_DECIDE in member.scopes_on(self.workflow_id)
        )
        return {approver.id: approver for approver in approvers if DECIDE in approver.scopes}

    def _timely(self, approver: Approver) -> Approver:
        """Return the approver with the grants that count on this step. Agents and services keep theirs."""
        if approver.kind is not PrincipalKind.HUMAN:
            return approver
        times = self.active_members.grant_times.get(approver.id, {})
        return timely(approver, times, as_of=self.step.grants_as_of, workflow_id=self.workflow_id)

    def late_grants_of(self, ctx: ActingContext) -> list[tuple[str, datetime | None]]:
        """Return the grants of the acting principal that do not count on this step, with the times they began."""
        member = self.active_members.by_id.get(ctx.principal_id)
        approver = acting_approver(ctx, member, workflow_id=self.workflow_id)
        wanted = [f"{leaf.kind}:{leaf.name}" for leaf in leaves_of(self.rule.tree)]
        times = self.active_members.grant_times.get(approver.id, {})
        return late_grants(approver, times, wanted, as_of=self.step.grants_as_of, workflow_id=self.workflow_id)

    def _eligibility(self, approver: Approver, *, untimely: Approver | None = None) -> Eligibility:
        """Return the eligibility of an approver. `untimely` has all grants, also those that do not count."""
        delegators = [self._approvers[delegator] for delegator in sorted(self.delegators_of(approver.id))]
        check = partial(
            count_votes.eligibility,
            self.rule,
            excluded=self.excluded,
            delegators=delegators,
            stand_ins=escalation_leaves(self.step.escalated_to),
            opened=self.result.opened if has_stages(self.rule.tree) else None,
            excluded_controllers=self.excluded_controllers,
        )
        found = check(approver)
        votes = found in (Eligibility.COUNTS, Eligibility.NOT_YET)
        may_decide = approver.kind is not PrincipalKind.HUMAN or DECIDE in approver.scopes
        if untimely is not None and (found is Eligibility.NOT_ELIGIBLE or (votes and not may_decide)):
            would = check(untimely) in (Eligibility.COUNTS, Eligibility.NOT_YET)
            return Eligibility.LATE if would and DECIDE in untimely.scopes else Eligibility.NOT_ELIGIBLE
        if found is Eligibility.COUNTS and self.dependent_vote(approver.id) is not None:
            return Eligibility.NOT_INDEPENDENT
        return found


def read_step_votes(
    step: DecisionStep,
    found: Iterable[Vote] | None = None,
    *,
    workflow_id: uuid.UUID,
    acting: ActingContext | None = None,
) -> StepVotes:
    """Read the active members and, unless `found` are those, the votes on a step.

    With `acting` only that principal, the voters, the excluded members and the delegators. Runs two statements.
    """
    votes = tuple(votes_on(step) if found is None else found)
    among = None if acting is None else principals_of(votes) | {acting.principal_id, *step.excluded_ids}
    return StepVotes(step, votes, active_members_of(step.tenant_id, among=among), workflow_id)


def principals_of(votes: Iterable[Vote]) -> set[uuid.UUID]:
    """Return the ids of the voters and of the delegators they voted for."""
    return {principal for vote in votes for principal in (vote.voter_id, *vote.stands_for)}


def votes_on(step: DecisionStep) -> QuerySet[Vote]:
    """Return all votes on a step with their voters, the oldest first."""
    return Vote.objects.filter(tenant_id=step.tenant_id, step=step).select_related("voter").order_by("id")
