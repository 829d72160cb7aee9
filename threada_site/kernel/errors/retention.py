"""Refusals about keeping, archiving and erasing."""

from threada_site.kernel.errors.base import ThreadaError


class UnderLegalHold(ThreadaError):
    reason_code = "legal_hold"


class ContentsRemoved(ThreadaError):
    reason_code = "contents_removed"


class RetentionNotShown(ThreadaError):
    reason_code = "retention_not_shown"


class RetentionStandsStill(ThreadaError):
    """A run cannot go on; it says so, and goes on where it stopped once that is fixed."""


class ArchiveUnavailable(RetentionStandsStill):
    reason_code = "archive_unavailable"


class ArchiveOutdated(ArchiveUnavailable):
    """What was sent to the archive is not what is about to be removed any more."""


class ReceiptMismatch(RetentionStandsStill):
    reason_code = "receipt_mismatch"
