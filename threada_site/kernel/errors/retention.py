"""Refusals of retention, archiving and erasure."""

from threada_site.kernel.errors.base import ExecutionRefusal, ValidationRefusal


class UnderLegalHold(ValidationRefusal):
    reason_code = "legal_hold"
    status = 409
    title = "A legal hold forbids this"
    advice = "List the legal holds; a steward can lift them."


class ContentsRemoved(ValidationRefusal):
    reason_code = "contents_removed"
    status = 409
    title = "The contents were removed"
    advice = "Create a new work item."


class RetentionNotShown(ValidationRefusal):
    reason_code = "retention_not_shown"
    status = 409
    title = "A dry run is required"
    advice = "Make a dry run first and read its result."


class RetentionStandsStill(ExecutionRefusal):
    """A retention run cannot continue. It resumes once the cause is fixed."""


class ArchiveUnavailable(RetentionStandsStill):
    reason_code = "archive_unavailable"
    status = 503
    title = "The archive cannot be used"
    advice = "Nothing was removed. Fix the problem named in detail."


class ArchiveOutdated(ArchiveUnavailable):
    """The archive differs from the cases that are about to be removed."""


class ReceiptMismatch(RetentionStandsStill):
    reason_code = "receipt_mismatch"
    status = 500
    title = "A receipt differs from the sealed receipt"
    advice = "Nothing was removed. Run manage.py verify_receipts."
