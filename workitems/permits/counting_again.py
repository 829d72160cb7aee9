"""Votes that were cast earlier, counted again under a rule and with the members of now."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from policies.language.approvals import ApprovalRule, canonical_tree, to_json
from threada_site.kernel import clock
from workitems.approvers.active_members import active_members_of
from workitems.approvers.count_votes import VoteResult
from workitems.approvers.step_votes import StepVotes, principals_of
from workitems.models import DecisionStep, Vote
from workitems.steps.exclusions import controllers_when_opened
from workitems.steps.vote_authentication import still_suffices


@dataclass(frozen=True, slots=True, kw_only=True)
class CastVotes:
    """Votes with values of their step: rule, escalation, the time from which grants are late, and whom it excluded."""

    votes: Sequence[Vote]
    rule: ApprovalRule
    grants_as_of: datetime
    escalated_to: Sequence[Any]
    excluded: frozenset[uuid.UUID] = frozenset()
    excluded_controllers: Mapping[str, Sequence[str] | None] = field(default_factory=dict)


def count_again(
    cast: CastVotes,
    rule: ApprovalRule,
    *,
    excluded: frozenset[uuid.UUID],
    tenant_id: uuid.UUID,
    workflow_id: uuid.UUID,
) -> tuple[tuple[Vote, ...], VoteResult]:
    """Return the votes that count under `rule`, and the result.

    A vote counts if its voter may still vote (membership, roles, delegations, independence, `excluded`), and an
    approval is not older than `approval_valid_for` and has the authentication that the rule requires. `stands_for` of
    the votes is cut to delegators whose delegation is still in force.
    """
    now = clock.now()
    members = active_members_of(tenant_id, now=now, among=principals_of(cast.votes) | excluded)
    fresh = [
        vote
        for vote in cast.votes
        if vote.decision == "reject"
        or (
            vote.created_at > now - rule.approval_valid_for
            and still_suffices(vote.authentication, rule, cast_under=cast.rule)
        )
    ]
    for vote in fresh:
        vote.stands_for = sorted(members.stands_for.get(vote.voter_id, frozenset()).intersection(vote.stands_for))
    counting = StepVotes(
        DecisionStep(
            tenant_id=tenant_id,
            rule=to_json(rule),
            excluded_ids=sorted(excluded),
            excluded_controllers={
                **cast.excluded_controllers,
                **controllers_when_opened(excluded.difference(cast.excluded), tenant_id=tenant_id),
            },
            grants_as_of=cast.grants_as_of,
            escalated_to=cast.escalated_to if canonical_tree(cast.rule.tree) == canonical_tree(rule.tree) else [],
        ),
        tuple(fresh),
        members,
        workflow_id,
    )
    valid = tuple(vote for vote in fresh if vote.voter_id in counting.result.voters)
    return valid, counting.result
