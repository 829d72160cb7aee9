"""Refusals of exports, of stored files and of optional parts."""

from threada_site.kernel.errors.base import ExecutionRefusal, ValidationRefusal


class ExportNotReady(ExecutionRefusal):
    reason_code = "export_not_ready"
    status = 409
    title = "The export is not ready"
    advice = "Read it again after Retry-After, then download."


class ExportNotVerifiable(ValidationRefusal):
    reason_code = "export_not_verifiable"
    status = 409
    title = "Only NDJSON exports contain the exact bytes of receipts"
    advice = "Create an export in the format ndjson and download its evidence."


class ExportGone(ExecutionRefusal):
    reason_code = "export_gone"
    status = 410
    title = "The file of the export no longer exists"
    advice = "Create the export again."


class ExportTargetUnavailable(ExecutionRefusal):
    reason_code = "export_target_unavailable"
    status = 503
    title = "The folder for exports cannot be used"
    advice = "Fix THREADA_EXPORT_DIR (free space, permissions, the shared folder), then retry the export."


class AttachmentUnavailable(ExecutionRefusal):
    reason_code = "attachment_unavailable"
    status = 503
    title = "The file of the attachment cannot be read or written"
    advice = "Ask the operator of the instance to check the storage of attachments."


class AttachmentErased(ExecutionRefusal):
    reason_code = "attachment_erased"
    status = 410
    title = "The file of the attachment was erased"
    advice = "Nothing needs to be done. Its digest, size and type are kept."


class OptionalPackageMissing(ExecutionRefusal):
    reason_code = "optional_package_missing"
    status = 501
    title = "An optional package is not installed"
    advice = "Ask the operator of the instance to install the package named in detail."
