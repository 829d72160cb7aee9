"""Votes of an execution counted again right before its call, with the rule and the members of that moment."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass

from integrations.models import Execution
from policies.language.approvals import ApprovalRule, from_json
from workitems.approvers.count_votes import Outcome, VoteResult
from workitems.executions.open_envelope import GivenApprovals
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.permits.counting_again import CastVotes, count_again
from workitems.steps.exclusions import excluded_principals


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

    A vote counts if it was given for the current envelope and still counts (`count_again`). Runs three statements; none
    without an approved step.
    """
    step = max(given.steps, key=lambda one: one.id, default=None)
    if step is None:
        return Recount()
    votes = [vote for vote in given.votes if vote.step_id == step.id]
    valid, result = count_again(
        CastVotes(
            votes=votes,
            rule=from_json(step.rule),
            grants_as_of=step.grants_as_of,
            escalated_to=step.escalated_to,
            excluded=frozenset(step.excluded_ids),
            excluded_controllers=step.excluded_controllers,
        ),
        rule,
        excluded=_excluded(item, execution, rule, step, pins=pins),
        tenant_id=item.tenant_id,
        workflow_id=item.workflow_version.workflow_id,
    )
    return Recount(valid, tuple(vote for vote in votes if vote not in valid), result)


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
