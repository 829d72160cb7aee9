"""Votes of an execution counted again right before its call, with the rule and the members of that moment."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from integrations.models import Execution
from policies.language.approvals import ApprovalRule, from_json, to_json
from threada_site.kernel import clock
from workitems.approvers.active_members import active_members_of
from workitems.approvers.count_votes import Outcome, VoteResult
from workitems.approvers.step_votes import StepVotes, principals_of
from workitems.executions.open_envelope import GivenApprovals
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.steps.exclusions import controllers_when_opened, excluded_principals
from workitems.steps.vote_authentication import still_suffices


@dataclass(frozen=True, slots=True)
class Recount:
    """Votes that count now, those that no longer do, and the result; None without any approved step.

    `stands_for` of the votes contains only delegators whose delegation is still in force.
    """

    valid: tuple[Vote, ...] = ()
    lost: tuple[Vote, ...] = ()
    result: VoteResult | None = None

    @property
    def is_approved(self) -> bool:
        """Return True if the votes that count now satisfy the rule."""
        return self.result is not None and self.result.outcome is Outcome.APPROVED


def recount(
    item: WorkItem,
    execution: Execution,
    rule: ApprovalRule,
    given: GivenApprovals,
    *,
    pins: Collection[uuid.UUID],
) -> Recount:
    """Count the votes of the last approved step again, under `rule`, which the policy versions `pins` require.

    A vote counts if it was given for the current envelope, its voter may still vote (membership, roles, delegations,
    independence, exclusions), and an approval is not older than `approval_valid_for` and has the authentication that
    the rule requires. Runs three statements; none without an approved step.
    """
    step = max(given.steps, key=lambda one: one.id, default=None)
    if step is None:
        return Recount()
    now = clock.now()
    votes = [vote for vote in given.votes if vote.step_id == step.id]
    excluded = _excluded(item, execution, rule, step, pins=pins)
    members = active_members_of(item.tenant_id, now=now, among=principals_of(votes) | excluded)
    cast_under = from_json(step.rule)
    fresh = [
        vote
        for vote in votes
        if vote.decision == "reject"
        or (
            vote.created_at > now - rule.approval_valid_for
            and still_suffices(vote.authentication, rule, cast_under=cast_under)
        )
    ]
    for vote in fresh:
        vote.stands_for = sorted(members.stands_for.get(vote.voter_id, frozenset()).intersection(vote.stands_for))
    counting = StepVotes(
        DecisionStep(
            tenant_id=item.tenant_id,
            rule=to_json(rule),
            excluded_ids=sorted(excluded),
            excluded_controllers={
                **step.excluded_controllers,
                **controllers_when_opened(excluded.difference(step.excluded_ids), tenant_id=item.tenant_id),
            },
            grants_as_of=step.grants_as_of,
            escalated_to=step.escalated_to if cast_under.tree == rule.tree else [],
        ),
        tuple(fresh),
        members,
        item.workflow_version.workflow_id,
    )
    valid = tuple(vote for vote in fresh if vote.voter_id in counting.result.voters)
    return Recount(valid, tuple(vote for vote in votes if vote not in valid), counting.result)


def _excluded(
    item: WorkItem, execution: Execution, rule: ApprovalRule, step: DecisionStep, *, pins: Collection[uuid.UUID]
) -> frozenset[uuid.UUID]:
    """Return the excluded principals: those of the step, unless the rule excludes more than the rule of the step.

    The authors of policies are read again, because other versions may require the approval now.
    """
    stored = frozenset(step.excluded_ids)
    if rule.exclude <= from_json(step.rule).exclude - {"policy_author"}:
        return stored
    return stored | excluded_principals(
        item, rule, pins=pins, asked_by=execution.requested_by, input_edited_by=execution.input_edited_by
    )
