"""Refusals of configuration changes."""

from threada_site.kernel.errors.base import AuthorizationRefusal, ValidationRefusal


class DocumentInvalid(ValidationRefusal):
    reason_code = "document_invalid"
    status = 422
    title = "The document is not valid"
    advice = "Fix what errors names."


class PolicyDocumentInvalid(ValidationRefusal):
    reason_code = "policy_document_invalid"
    status = 422
    title = "The policy document is not valid"
    advice = "Fix what errors names."


class PolicyTestsFailed(ValidationRefusal):
    reason_code = "policy_tests_failed"
    status = 422
    title = "The policy's own tests fail"
    advice = "Fix the rule or the test that errors names."


class InUse(ValidationRefusal):
    reason_code = "in_use"
    status = 409
    title = "Something uses it"
    advice = "Remove what errors names first."


class VersionNotDraft(ValidationRefusal):
    reason_code = "version_not_draft"
    status = 409
    title = "Only a draft can be changed"
    advice = "Make a new version."


class UnknownAction(ValidationRefusal):
    reason_code = "unknown_action"
    status = 422
    title = "There is no such action"
    advice = "See the integration's actions and the workflow's."


class UnknownIntegration(ValidationRefusal):
    reason_code = "unknown_integration"
    status = 422
    title = "There is no such integration"
    advice = "List GET /integrations."


class SecretReferenceNotAllowed(ValidationRefusal):
    reason_code = "secret_reference_not_allowed"
    status = 422
    title = "This secret may not be referred to here"
    advice = "Ask the instance's operator to list it in THREADA_SECRET_REFS."


class SecondPersonRequired(AuthorizationRefusal):
    reason_code = "second_person_required"
    status = 403
    title = "A second person has to do this"
    advice = "Ask somebody else who may do it, and who had no part in it so far."


class PersonRequired(AuthorizationRefusal):
    reason_code = "person_required"
    status = 403
    title = "Only a person may do this"
    advice = "Services and agents do not count as people."


class ReplayReportRequired(ValidationRefusal):
    reason_code = "replay_report_required"
    status = 409
    title = "No replay shows what it would change"
    advice = "Replay the draft against the version in force, read the report, then publish it."


class EmergencyPending(ValidationRefusal):
    reason_code = "emergency_pending"
    status = 409
    title = "An emergency publication of this policy waits to be confirmed"
    advice = "Ask a second person to confirm the emergency publication, or end it."


class EmergencyOver(ValidationRefusal):
    reason_code = "emergency_over"
    status = 409
    title = "The emergency publication has ended"
    advice = "Publish the version again, with a second person."
