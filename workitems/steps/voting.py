"""Votes on decision steps, for API, console and jobs.

The last vote and the dispatch of the execution commit in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from integrations import selectors as integration_selectors
from integrations.executions.dispatch import dispatch_in_batch
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from policies.selectors import workflow_document
from threada_site.database.batched_writes import batched_writes, insert_rows, update_row
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import commitment
from workitems import selectors
from workitems.approvers.count_votes import Outcome
from workitems.approvers.step_votes import StepVotes, read_step_votes
from workitems.items.labels import new_label, voter_label
from workitems.items.receipts import record_item
from workitems.items.transitions import transition_execution, transition_item, transition_unless_undo
from workitems.lifecycle import DECISION_STEP, StepKind, StepStatus, WorkItemStatus
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.search.changes import note_change
from workitems.steps.eligible_voter import check_eligible
from workitems.steps.envelope_check import require_current_envelope
from workitems.steps.frozen_steps import is_frozen
from workitems.steps.opening_and_closing import close_step
from workitems.steps.pauses import has_expired
from workitems.steps.pending_approvers import refresh_pending_approvers
from workitems.steps.pins import require_current_pins
from workitems.steps.stages import notify_opened_stages
from workitems.steps.vote_authentication import check_authentication, stored_authentication

MOST_COMMENT: Final = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """Decision of a voter, and the hash of the envelope it is about."""

    decision: Literal["approve", "reject"]
    envelope_sha256: str
    reason_code: str = ""
    comment: str = ""


def cast_vote(item: WorkItem, step: DecisionStep, ballot: Ballot, *, ctx: ActingContext) -> Vote:
    """Record a vote on a locked step, and close the step if the vote decides it.

    The vote of a service or an agent is stored as advice and never counted. Raises `StepClosed`, `EnvelopeChanged`,
    `StepUpRequired`, `VoteAuthenticationRequired`, `AlreadyVoted`, `ReasonCodeRequired`, `UnknownReasonCode`, and the
    errors of `check_eligible`.
    """
    require_unit_of_work(ctx.tenant_id)
    check_permitted(item, ctx=ctx)
    require_current_envelope(item, step, ballot.envelope_sha256)
    execution = execution_of(step)
    check_open(step, execution)
    _check_comment(ballot)
    _check_reason(ballot, item, ctx=ctx)
    votes = read_step_votes(step, workflow_id=item.workflow_version.workflow_id, acting=ctx)
    _check_voter(votes, ballot, ctx=ctx)
    check_authentication(votes.rule, ctx=ctx)
    delegators = sorted(votes.delegators_of(ctx.principal_id))
    vote = Vote(
        tenant_id=ctx.tenant_id,
        step_id=step.id,
        voter_id=ctx.principal_id,
        voter_kind=ctx.principal_kind.value,
        decision=ballot.decision,
        reason_code=ballot.reason_code,
        comment=ballot.comment,
        envelope_sha256=ballot.envelope_sha256,
        counted=ctx.principal_kind is PrincipalKind.HUMAN,
        stands_for=delegators,
        authentication=stored_authentication(ctx),
        created_at=clock.now(),
    )
    with batched_writes():
        insert_rows(vote)
        note_change(item.id, tenant_id=item.tenant_id)
        insert_rows(new_label(item, voter_label(vote.voter_id)), ignore_conflicts=True)
        record_item(
            "vote.recorded",
            item,
            ctx=ctx,
            execution=execution,
            inputs={
                "decision_step_id": step.public_id,
                "vote_id": vote.public_id,
                "cast_at": rfc3339(vote.created_at),
                "envelope_sha256": ballot.envelope_sha256,
                "comment_commitment": commitment(bytes(item.payload_salt), ballot.comment),
                "authentication": vote.authentication,
                **({"stands_for": [ids.public_id(ids.PRINCIPAL, who) for who in delegators]} if delegators else {}),
            },
            outcome={"decision": ballot.decision, "counted": vote.counted},
            reason_codes=(ballot.reason_code,) if ballot.reason_code else (),
        )
        if vote.counted:
            counted = votes.with_vote(vote)
            _settle(item, counted, execution, ctx=ctx)
            notify_opened_stages(item, votes, counted, ctx=ctx)
    return vote


def check_may_decide(
    item: WorkItem, step: DecisionStep, execution: Execution | None, envelope_sha256: str, *, ctx: ActingContext
) -> None:
    """Raise unless a vote of the acting principal on this envelope would count.

    Used by operations that require an eligible voter. Raises the errors of `cast_vote`, except those about the ballot.
    """
    require_unit_of_work(ctx.tenant_id)
    check_permitted(item, ctx=ctx)
    require_current_envelope(item, step, envelope_sha256)
    check_open(step, execution)
    votes = read_step_votes(step, workflow_id=item.workflow_version.workflow_id, acting=ctx)
    check_eligible(votes, ctx=ctx)
    check_authentication(votes.rule, ctx=ctx)


def reject_item(item: WorkItem, execution: Execution | None, *, ctx: ActingContext) -> None:
    """End the case of a rejected step that is still pending, see `_end_without_approval`."""
    _end_without_approval(item, execution, ExecutionStatus.REJECTED, WorkItemStatus.REJECTED, ctx=ctx)


def expire_item(item: WorkItem, execution: Execution | None, *, ctx: ActingContext) -> None:
    """End the case of an expired step that is still pending, see `_end_without_approval`."""
    _end_without_approval(item, execution, ExecutionStatus.EXPIRED, WorkItemStatus.EXPIRED, ctx=ctx)


def _end_without_approval(
    item: WorkItem,
    execution: Execution | None,
    execution_status: ExecutionStatus,
    item_status: WorkItemStatus,
    *,
    ctx: ActingContext,
) -> None:
    """Move execution and item of a step that was not approved to their final statuses.

    With `on_reject: ready` in the workflow, the item becomes ready instead if the approval was for an action, or was
    requested by the action `request_approval`. An approval that policies required at intake always ends the item.
    """
    if execution is not None:
        transition_execution(execution, execution_status)
    of_action = execution is not None or _was_asked_by_action(item)
    if of_action and workflow_document(item.workflow_version_id, ctx=ctx).on_reject == "ready":
        transition_unless_undo(item, execution, WorkItemStatus.READY)
        return
    transition_unless_undo(item, execution, item_status)


def _settle(item: WorkItem, votes: StepVotes, execution: Execution | None, *, ctx: ActingContext) -> None:
    """Close the step if the votes decide it, and move the case on."""
    step, result = votes.step, votes.result
    if result.outcome is Outcome.WAITING:
        step.reachability_check_due = True
        update_row(step, "reachability_check_due")
        if result.stages > 1:
            refresh_pending_approvers(step, result.opened, workflow_id=votes.workflow_id)
        return
    if result.outcome is Outcome.REJECTED:
        reject_item(item, execution, ctx=ctx)
        close_step(step, StepStatus.REJECTED, item=item, ctx=ctx, execution=execution)
    elif execution is None:
        transition_item(item, WorkItemStatus.READY)
        close_step(step, StepStatus.APPROVED, item=item, ctx=ctx)
    else:
        transition_execution(execution, ExecutionStatus.STARTED)
        transition_unless_undo(item, execution, WorkItemStatus.EXECUTING)
        close_step(step, StepStatus.APPROVED, item=item, ctx=ctx, execution=execution)
        dispatch_in_batch(execution)
    if execution is not None:
        record_item(
            f"execution.{'approved' if result.outcome is Outcome.APPROVED else 'rejected'}",
            item,
            ctx=ctx,
            execution=execution,
            inputs={"decision_step_id": step.public_id, "envelope_sha256": step.envelope_sha256},
            outcome={"status": execution.status},
        )


def _was_asked_by_action(item: WorkItem) -> bool:
    """Return True if the item waits for an approval of `request_approval`, which no policy required."""
    step = selectors.pending_step_of(item)
    return step is not None and step.kind == StepKind.APPROVAL and step.policy_decision_id is None


def execution_of(step: DecisionStep) -> Execution | None:
    """Return the locked execution of a step, or None."""
    if step.execution_id is None:
        return None
    return integration_selectors.execution_for_update(step.execution_id, tenant_id=step.tenant_id)


def check_open(step: DecisionStep, execution: Execution | None) -> None:
    """Raise `StepClosed` if the step is closed or expired, or if one of its pins has changed."""
    if not DECISION_STEP.is_open(StepStatus(step.status)):
        raise errors.StepClosed(f"This step is {step.status}. Nothing more can be decided on it.")
    if has_expired(step, now=clock.now()) and not is_frozen(step):
        raise errors.StepClosed("This step has expired.")
    require_current_pins(step, execution)


def _check_comment(ballot: Ballot) -> None:
    if len(ballot.comment) > MOST_COMMENT:
        raise errors.CommentTooLong(
            f"The comment has {len(ballot.comment)} characters; {MOST_COMMENT} are allowed. Shorten it.",
            errors=[FieldError("/comment", f"has more than {MOST_COMMENT} characters", "too_long")],
        )


def _check_reason(ballot: Ballot, item: WorkItem, *, ctx: ActingContext) -> None:
    if ballot.decision == "approve" and not ballot.reason_code:
        return
    known = workflow_document(item.workflow_version_id, ctx=ctx).reject_reasons
    listed = ", ".join(known)
    if not ballot.reason_code:
        raise errors.ReasonCodeRequired(
            f"A rejection needs a reason code, one of {listed}.",
            errors=[FieldError("/reason_code", f"is required; one of {listed}", "required")],
        )
    if ballot.reason_code not in known:
        raise errors.UnknownReasonCode(
            f"The reason code must be one of {listed}.",
            errors=[FieldError("/reason_code", f"must be one of {listed}", "unknown")],
        )


def _check_voter(votes: StepVotes, ballot: Ballot, *, ctx: ActingContext) -> None:
    if ctx.principal_id in votes.voters:
        raise errors.AlreadyVoted("You have already voted on this step. Each person has one vote.")
    _check_delegates(votes, ctx=ctx)
    if ctx.principal_kind is PrincipalKind.HUMAN:
        check_eligible(votes, ctx=ctx, rejects=ballot.decision == "reject")


def _check_delegates(votes: StepVotes, *, ctx: ActingContext) -> None:
    """Raise `AlreadyVoted` if a delegate or delegator of the voter has voted: they count once together."""
    counted = [vote for vote in votes.votes if vote.counted]
    if any(ctx.principal_id in vote.stands_for for vote in counted):
        raise errors.AlreadyVoted("Your delegate has decided in your place. You and they count once.")
    if any(vote.voter_id in votes.active_members.stands_for.get(ctx.principal_id, ()) for vote in counted):
        raise errors.AlreadyVoted("Somebody you stand in for has decided. You and they count once.")


def check_permitted(item: WorkItem, *, ctx: ActingContext) -> None:
    """Raise `PermissionDenied` without `decisions:decide` on the workflow of the item."""
    if not ctx.allows(Scope.DECISIONS_DECIDE, workflow=item.workflow_version.workflow_id):
        raise errors.PermissionDenied(f"You do not hold decisions:decide on the workflow {item.workflow}.")
