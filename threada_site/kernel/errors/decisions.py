"""Refusals by policies, and of actions on decision steps."""

from threada_site.kernel.errors.base import AuthorizationRefusal, PolicyRefusal


class PolicyDenied(PolicyRefusal):
    reason_code = "policy_denied"
    status = 403
    title = "A policy refuses this"
    advice = "See reasons for the tenant's own words."


class ReviewPending(PolicyRefusal):
    reason_code = "review_pending"
    status = 409
    title = "A review is pending"
    advice = "Wait for the review step."


class ApprovalPending(PolicyRefusal):
    reason_code = "approval_pending"
    status = 409
    title = "An approval is pending"
    advice = "Wait for the approval step."


class EnvelopeChanged(PolicyRefusal):
    reason_code = "envelope_changed"
    status = 409
    title = "The envelope is not the one you were shown"
    advice = "Read the step again, then decide."


class StepClosed(PolicyRefusal):
    reason_code = "step_closed"
    status = 409
    title = "The step is no longer pending"
    advice = "See the step's status."


class AlreadyVoted(PolicyRefusal):
    reason_code = "already_voted"
    status = 409
    title = "You have voted on this step"
    advice = "One person counts once."


class VoterExcluded(PolicyRefusal):
    reason_code = "voter_excluded"
    status = 403
    title = "You are excluded from this decision"
    advice = "Somebody else has to decide."


class StageNotOpen(PolicyRefusal):
    reason_code = "stage_not_open"
    status = 409
    title = "Your stage is not open yet"
    advice = "Wait until the stages before it are decided."


class VoterNotEligible(PolicyRefusal):
    reason_code = "voter_not_eligible"
    status = 403
    title = "You do not count on this decision"
    advice = "See waiting_for on the step."


class ReasonCodeRequired(PolicyRefusal):
    reason_code = "reason_code_required"
    status = 422
    title = "A rejection needs a reason code"
    advice = "Send one of the workflow's reason codes."


class UnknownReasonCode(PolicyRefusal):
    reason_code = "unknown_reason_code"
    status = 422
    title = "The reason code is not in the workflow's list"
    advice = "Send one of the codes named in errors."


class CommentTooLong(PolicyRefusal):
    reason_code = "comment_too_long"
    status = 422
    title = "The comment is too long"
    advice = "Shorten it to 4000 characters."


class StepClaimed(PolicyRefusal):
    reason_code = "step_claimed"
    status = 409
    title = "Somebody else has claimed this step"
    advice = "Wait for its release or ask for it."


class StepUpRequired(AuthorizationRefusal):
    reason_code = "step_up_required"
    status = 403
    title = "This vote needs the password again"
    advice = "Vote in the console and enter the password there: a token cannot re-authenticate."


class StepUpFailed(AuthorizationRefusal):
    reason_code = "step_up_failed"
    status = 403
    title = "The password is not right"
    advice = "Enter your password again; nothing was decided."


class BatchMixed(PolicyRefusal):
    reason_code = "batch_mixed"
    status = 422
    title = "These steps do not belong together"
    advice = "Batch only steps with the same rule and action; see batch_key on the steps."


class BatchTooLarge(PolicyRefusal):
    reason_code = "batch_too_large"
    status = 422
    title = "Too many steps for one batch"
    advice = "Send no more than the cap that detail names."


class AssigneeNotEligible(PolicyRefusal):
    reason_code = "assignee_not_eligible"
    status = 422
    title = "The assignee does not count on this decision"
    advice = "Name somebody the step waits for, or escalate it."


class NobodyToEscalateTo(PolicyRefusal):
    reason_code = "nobody_to_escalate_to"
    status = 422
    title = "There is nobody to escalate to"
    advice = "Name in `to` a role, group or user that may decide."


class AlreadyEscalated(PolicyRefusal):
    reason_code = "already_escalated"
    status = 409
    title = "The step is already escalated to this target"
    advice = "See escalated_to on the step."


class DelegateNotEligible(PolicyRefusal):
    reason_code = "delegate_not_eligible"
    status = 422
    title = "This person cannot be the delegate"
    advice = "Name an active person of this tenant who holds decisions:decide."


class DelegationOverlaps(PolicyRefusal):
    reason_code = "delegation_overlaps"
    status = 409
    title = "Another delegation covers this period"
    advice = "End the other delegation first, or choose another time."


class DelegationEnded(PolicyRefusal):
    reason_code = "delegation_ended"
    status = 409
    title = "The delegation has ended"
    advice = "Make a new one."
