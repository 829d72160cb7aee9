"""Refusals of carrying something out, and failures of the instance itself."""

from threada_site.kernel.errors.base import ThreadaError


class ActionNotAllowed(ThreadaError):
    reason_code = "action_not_allowed"


class ExecutionInProgress(ThreadaError):
    reason_code = "execution_in_progress"


class ExecutionNotCancellable(ThreadaError):
    reason_code = "execution_not_cancellable"


class ExecutionNotRetryable(ThreadaError):
    reason_code = "execution_not_retryable"


class ExecutionNotReconcilable(ThreadaError):
    reason_code = "execution_not_reconcilable"


class ExecutionNotUndoable(ThreadaError):
    reason_code = "execution_not_undoable"


class FreezeLifted(ThreadaError):
    reason_code = "freeze_lifted"


class ExpressionFailed(ThreadaError):
    reason_code = "expression_failed"


class AuditUnavailable(ThreadaError):
    reason_code = "audit_unavailable"


class ServiceUnavailable(ThreadaError):
    reason_code = "service_unavailable"


class InstanceStarting(ThreadaError):
    reason_code = "starting"


class InstanceStopping(ThreadaError):
    reason_code = "stopping"


class InstanceNotReady(ThreadaError):
    reason_code = "not_ready"


class InternalError(ThreadaError):
    reason_code = "internal_error"
