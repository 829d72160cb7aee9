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
    title = "Its contents were removed"
    advice = "Hand in a new work item."


class RetentionNotShown(ValidationRefusal):
    reason_code = "retention_not_shown"
    status = 409
    title = "No dry run has shown what would be removed"
    advice = "Make a dry run first, and read it."


class RetentionStandsStill(ExecutionRefusal):
    """A retention run cannot continue. It resumes once the cause is fixed."""


class ArchiveUnavailable(RetentionStandsStill):
    reason_code = "archive_unavailable"
    status = 503
    title = "The archive cannot be used"
    advice = "Nothing was removed. Fix what detail says."


class ArchiveOutdated(ArchiveUnavailable):
    """The archive differs from the cases that are about to be removed."""


class ReceiptMismatch(RetentionStandsStill):
    reason_code = "receipt_mismatch"
    status = 500
    title = "A receipt is not what was sealed"
    advice = "Run verify_receipts and ask who changed it. Nothing was removed."
