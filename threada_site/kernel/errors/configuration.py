"""Refusals of configuration changes."""

from __future__ import annotations

from typing import Any

from threada_site.kernel.errors.base import AuthorizationRefusal, ExecutionRefusal, ValidationRefusal


class DocumentInvalid(ValidationRefusal):
    reason_code = "document_invalid"
    status = 422
    title = "The document is not valid"
    advice = "Fix the entries listed in errors."


class PolicyDocumentInvalid(ValidationRefusal):
    reason_code = "policy_document_invalid"
    status = 422
    title = "The policy document is not valid"
    advice = "Fix the entries listed in errors."


class PolicyTestsFailed(ValidationRefusal):
    reason_code = "policy_tests_failed"
    status = 422
    title = "Tests of the policy fail"
    advice = "Fix the rules or tests listed in errors."


class EvaluatorBusy(ExecutionRefusal):
    reason_code = "evaluator_busy"
    status = 429
    title = "Other rules of this tenant are being evaluated"
    advice = "A tenant evaluates one simulation, replay, shadow or set of rule tests at a time. Retry in a moment."


class EvaluatorFailed(ExecutionRefusal):
    reason_code = "evaluator_failed"
    status = 503
    title = "The evaluator does not work"
    advice = "Retry. If this lasts, ask the operator of the instance to see the log."


class RulesTooExpensive(ValidationRefusal):
    reason_code = "rules_too_expensive"
    status = 422
    title = "Rules in force would cost too much to evaluate"
    advice = "Limit the payload or the list, or simplify the rules listed in errors."


class InUse(ValidationRefusal):
    reason_code = "in_use"
    status = 409
    title = "The object is in use"
    advice = "Remove the uses listed in errors first."


class VersionNotDraft(ValidationRefusal):
    reason_code = "version_not_draft"
    status = 409
    title = "Only a draft can be changed"
    advice = "Create a new version."


class UnknownAction(ValidationRefusal):
    reason_code = "unknown_action"
    status = 422
    title = "There is no such action"
    advice = "See the actions of the integration and of the workflow."


class ToolNotAccepted(ExecutionRefusal):
    reason_code = "tool_not_accepted"
    status = 409
    title = "The tool cannot be called"
    advice = "Accept the tool at its integration in the console, or call another one."


class UnknownIntegration(ValidationRefusal):
    reason_code = "unknown_integration"
    status = 422
    title = "There is no such integration"
    advice = "List the integrations with GET /integrations."


class SecretReferenceNotAllowed(ValidationRefusal):
    reason_code = "secret_reference_not_allowed"
    status = 422
    title = "The secret reference is not allowed"
    advice = "Ask the operator of the instance to add it to THREADA_SECRET_REFS."


class SecretOriginRefused(ValidationRefusal):
    reason_code = "secret_origin_refused"
    status = 422
    title = "The secret is not for this address"
    advice = "Store the secret with the origin of the address, or ask the operator of the instance to allow it."


class SecondPersonRequired(AuthorizationRefusal):
    reason_code = "second_person_required"
    status = 403
    title = "A second person is required"
    advice = "Ask another person with the permission who has not taken part yet."


class ConfirmationRequired(AuthorizationRefusal):
    """The change needs a second person. API, console and commands store it as a change set and answer 202.

    `change` is a `threada_site.tenancy.change_sets.ProposedChange`.
    """

    reason_code = "confirmation_required"
    status = 403
    title = "A second person must confirm the change"
    advice = "Ask an independent person to publish the change set."

    change: Any = None

    @classmethod
    def of(cls, change: Any) -> ConfirmationRequired:
        """Return the refusal of `change`."""
        refusal = cls()
        refusal.change = change
        return refusal


class PlanStale(ValidationRefusal):
    reason_code = "plan_stale"
    status = 409
    title = "The configuration or the documents changed since the plan"
    advice = "Plan again, read the changes, and apply with the new digest."


class ChangeSetStale(ValidationRefusal):
    reason_code = "change_set_stale"
    status = 409
    title = "The change set no longer fits what is in force"
    advice = "Make the change again, so that it shows the current difference."


class AccessReviewOpen(ValidationRefusal):
    reason_code = "access_review_open"
    status = 409
    title = "Another access review is open"
    advice = "Finish the open review, then start a new one."


class AccessReviewClosed(ValidationRefusal):
    reason_code = "access_review_closed"
    status = 409
    title = "The access review is finished"
    advice = "Start a new review."


class AccessReviewIncomplete(ValidationRefusal):
    reason_code = "access_review_incomplete"
    status = 409
    title = "The access review is not complete"
    advice = "Decide about every entry, then finish the review. Another steward decides about your own access."


class ChangeSetClosed(ValidationRefusal):
    reason_code = "change_set_closed"
    status = 409
    title = "The change set is closed"
    advice = "Read it to see who published or rejected it."


class PersonRequired(AuthorizationRefusal):
    reason_code = "person_required"
    status = 403
    title = "A person is required"
    advice = "Services and agents cannot do this."


class OwnerRequired(AuthorizationRefusal):
    reason_code = "owner_required"
    status = 403
    title = "The agent or service has no known owner"
    advice = "Ask a steward to name an active person as its owner, or the operator to run manage.py set_owner."


class ReplayReportRequired(ValidationRefusal):
    reason_code = "replay_report_required"
    status = 409
    title = "A replay of the draft is required"
    advice = "Replay the draft against the version in force, read the report, then publish it."


class EmergencyPending(ValidationRefusal):
    reason_code = "emergency_pending"
    status = 409
    title = "An emergency publication of this policy is not confirmed"
    advice = "Ask a second person to confirm the emergency publication, or end it."


class EmergencyNotAvailable(ValidationRefusal):
    reason_code = "emergency_not_available"
    status = 409
    title = "No emergency publication of this policy is possible now"
    advice = "Publish the version with a second person."


class EmergencyOver(ValidationRefusal):
    reason_code = "emergency_over"
    status = 409
    title = "The emergency publication has ended"
    advice = "Publish the version again, with a second person."
