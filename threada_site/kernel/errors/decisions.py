"""Refusals by policies, and of actions on decisions."""

from threada_site.kernel.errors.base import ThreadaError


class PolicyDenied(ThreadaError):
    reason_code = "policy_denied"


class ReviewPending(ThreadaError):
    reason_code = "review_pending"


class ApprovalPending(ThreadaError):
    reason_code = "approval_pending"


class EnvelopeChanged(ThreadaError):
    reason_code = "envelope_changed"


class StepClosed(ThreadaError):
    reason_code = "step_closed"


class AlreadyVoted(ThreadaError):
    reason_code = "already_voted"


class VoterExcluded(ThreadaError):
    reason_code = "voter_excluded"


class StageNotOpen(ThreadaError):
    reason_code = "stage_not_open"


class VoterNotEligible(ThreadaError):
    reason_code = "voter_not_eligible"


class ReasonCodeRequired(ThreadaError):
    reason_code = "reason_code_required"


class UnknownReasonCode(ThreadaError):
    reason_code = "unknown_reason_code"


class CommentTooLong(ThreadaError):
    reason_code = "comment_too_long"


class StepClaimed(ThreadaError):
    reason_code = "step_claimed"


class StepUpRequired(ThreadaError):
    reason_code = "step_up_required"


class StepUpFailed(ThreadaError):
    reason_code = "step_up_failed"


class BatchMixed(ThreadaError):
    reason_code = "batch_mixed"


class BatchTooLarge(ThreadaError):
    reason_code = "batch_too_large"


class AssigneeNotEligible(ThreadaError):
    reason_code = "assignee_not_eligible"


class NobodyToEscalateTo(ThreadaError):
    reason_code = "nobody_to_escalate_to"


class AlreadyEscalated(ThreadaError):
    reason_code = "already_escalated"


class DelegateNotEligible(ThreadaError):
    reason_code = "delegate_not_eligible"


class DelegationOverlaps(ThreadaError):
    reason_code = "delegation_overlaps"


class DelegationEnded(ThreadaError):
    reason_code = "delegation_ended"
