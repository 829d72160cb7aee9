"""Refusals of configuration."""

from threada_site.kernel.errors.base import ThreadaError


class DocumentInvalid(ThreadaError):
    reason_code = "document_invalid"


class PolicyDocumentInvalid(ThreadaError):
    reason_code = "policy_document_invalid"


class PolicyTestsFailed(ThreadaError):
    reason_code = "policy_tests_failed"


class InUse(ThreadaError):
    reason_code = "in_use"


class VersionNotDraft(ThreadaError):
    reason_code = "version_not_draft"


class UnknownAction(ThreadaError):
    reason_code = "unknown_action"


class UnknownIntegration(ThreadaError):
    reason_code = "unknown_integration"


class SecretReferenceNotAllowed(ThreadaError):
    reason_code = "secret_reference_not_allowed"


class SecondPersonRequired(ThreadaError):
    reason_code = "second_person_required"


class PersonRequired(ThreadaError):
    reason_code = "person_required"


class ReplayReportRequired(ThreadaError):
    reason_code = "replay_report_required"


class EmergencyPending(ThreadaError):
    reason_code = "emergency_pending"


class EmergencyOver(ThreadaError):
    reason_code = "emergency_over"
