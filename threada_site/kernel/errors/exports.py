"""Refusals of exports."""

from threada_site.kernel.errors.base import ThreadaError


class ExportNotReady(ThreadaError):
    reason_code = "export_not_ready"


class ExportNotVerifiable(ThreadaError):
    reason_code = "export_not_verifiable"


class ExportGone(ThreadaError):
    reason_code = "export_gone"


class ExportTargetUnavailable(ThreadaError):
    reason_code = "export_target_unavailable"
