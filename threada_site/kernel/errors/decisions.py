"""Refusals by policies, and of actions on decision steps."""

from threada_site.kernel.errors.base import AuthorizationRefusal, PolicyRefusal


class PolicyDenied(PolicyRefusal):
    reason_code = "policy_denied"
    status = 403
    title = "A policy denies this"
    advice = "See the reasons of the tenant's policies in reasons."


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
    title = "The envelope has changed"
    advice = "Read the step again, then vote."


class StepClosed(PolicyRefusal):
    reason_code = "step_closed"
    status = 409
    title = "The step is no longer pending"
    advice = "See the step's status."


class AlreadyVoted(PolicyRefusal):
    reason_code = "already_voted"
    status = 409
    title = "You have already voted on this step"
    advice = "Each person has one vote."


class VoterExcluded(PolicyRefusal):
    reason_code = "voter_excluded"
    status = 403
    title = "You are excluded from this decision"
    advice = "Another person must decide."


class StageNotOpen(PolicyRefusal):
    reason_code = "stage_not_open"
    status = 409
    title = "Your stage is not open yet"
    advice = "Wait until the earlier stages are decided."


class VoterNotEligible(PolicyRefusal):
    reason_code = "voter_not_eligible"
    status = 403
    title = "You are not an approver of this step"
    advice = "See waiting_for of the step."


class VoterNotIndependent(PolicyRefusal):
    reason_code = "voter_not_independent"
    status = 403
    title = "You are not independent of another person of this decision"
    advice = "An independent person must decide. The dependence ends when the account is confirmed."


class GrantTooLate(PolicyRefusal):
    reason_code = "grant_too_late"
    status = 403
    title = "Your role began after the decision was requested"
    advice = "It counts on this step once an independent steward has confirmed it."


class InvitationNotAccepted(PolicyRefusal):
    reason_code = "invitation_not_accepted"
    status = 403
    title = "Your invitation is not accepted"
    advice = "Accept the invitation to this tenant, then vote."


class PermitNotOffered(PolicyRefusal):
    reason_code = "permit_not_offered"
    status = 409
    title = "This decision takes no permit"
    advice = "Decide about this execution alone. Only rules with `permit` in their approvals allow a series."


class PermitTooWide(PolicyRefusal):
    reason_code = "permit_too_wide"
    status = 422
    title = "The permit is too wide"
    advice = "Stay within the limits of the rule, or of the permit as it is. See errors."


class PermitChanged(PolicyRefusal):
    reason_code = "permit_changed"
    status = 409
    title = "The permit has other terms"
    advice = "Read the permit again, then approve its digest."


class PermitClosed(PolicyRefusal):
    reason_code = "permit_closed"
    status = 409
    title = "The permit cannot be changed any more"
    advice = "See the permit's status."


class ReasonCodeRequired(PolicyRefusal):
    reason_code = "reason_code_required"
    status = 422
    title = "A rejection needs a reason code"
    advice = "Send one of the workflow's reason codes."


class UnknownReasonCode(PolicyRefusal):
    reason_code = "unknown_reason_code"
    status = 422
    title = "The reason code is not in the workflow's list"
    advice = "Send one of the codes listed in errors."


class CommentTooLong(PolicyRefusal):
    reason_code = "comment_too_long"
    status = 422
    title = "The comment is too long"
    advice = "Shorten it to 4000 characters."


class CommentRemoved(PolicyRefusal):
    reason_code = "comment_removed"
    status = 409
    title = "The comment was removed"
    advice = "Write another comment."


class ConversationLimit(PolicyRefusal):
    reason_code = "conversation_limit"
    status = 409
    title = "A limit of comments, mentions or questions is reached"
    advice = "See detail for the limit."


class QuestionClosed(PolicyRefusal):
    reason_code = "question_closed"
    status = 409
    title = "The question is no longer open"
    advice = "See the question's status. Write a comment instead."


class StepClaimed(PolicyRefusal):
    reason_code = "step_claimed"
    status = 409
    title = "Another person has claimed this step"
    advice = "Wait until the claim is released or ends."


class StepUpRequired(AuthorizationRefusal):
    reason_code = "step_up_required"
    status = 403
    title = "This requires a recent re-authentication"
    advice = "Do it in the console, with your second factor, or with your password if you have none. A token cannot."


class StepUpFailed(AuthorizationRefusal):
    reason_code = "step_up_failed"
    status = 403
    title = "The password or code is wrong"
    advice = "Enter it again; a code serves once. Nothing was changed."


class VoteAuthenticationRequired(AuthorizationRefusal):
    reason_code = "vote_authentication_required"
    status = 403
    title = "This decision requires another authentication"
    advice = "Sign in to the console, with a second factor if you must have one, and decide there. See detail."


class BatchMixed(PolicyRefusal):
    reason_code = "batch_mixed"
    status = 422
    title = "The steps cannot be decided in one batch"
    advice = "Send only steps with the same rule and action. See batch_key of the steps."


class BatchTooLarge(PolicyRefusal):
    reason_code = "batch_too_large"
    status = 422
    title = "Too many steps for one batch"
    advice = "Send at most the number named in detail."


class AssigneeNotEligible(PolicyRefusal):
    reason_code = "assignee_not_eligible"
    status = 422
    title = "The assignee is not an approver of this step"
    advice = "Name a person in waiting_for, or escalate the step."


class NobodyToEscalateTo(PolicyRefusal):
    reason_code = "nobody_to_escalate_to"
    status = 422
    title = "The escalation has no target"
    advice = "Name in `to` a role, group or user that can decide."


class NobodyCanDecide(PolicyRefusal):
    reason_code = "nobody_can_decide"
    status = 409
    title = "Nobody could decide afterwards"
    advice = "Ask somebody else to make the change, or reject the request."


class AlreadyEscalated(PolicyRefusal):
    reason_code = "already_escalated"
    status = 409
    title = "The step is already escalated to this target"
    advice = "See escalated_to of the step."


class DelegateNotEligible(PolicyRefusal):
    reason_code = "delegate_not_eligible"
    status = 422
    title = "This person cannot be the delegate"
    advice = "Name an active person of this tenant with decisions:decide."


class DelegationOverlaps(PolicyRefusal):
    reason_code = "delegation_overlaps"
    status = 409
    title = "Another delegation covers this period"
    advice = "End the other delegation first, or choose another time."


class DelegationEnded(PolicyRefusal):
    reason_code = "delegation_ended"
    status = 409
    title = "The delegation has ended"
    advice = "Create a new delegation."
