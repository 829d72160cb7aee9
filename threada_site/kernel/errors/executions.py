"""Refusals of actions on executions, and failures of the instance itself."""

from threada_site.kernel.errors.base import ExecutionRefusal, ThreadaError


class ActionNotAllowed(ExecutionRefusal):
    reason_code = "action_not_allowed"
    status = 422
    title = "The workflow does not allow this action"
    advice = "Add it to the workflow's actions."


class ConnectorDisabled(ExecutionRefusal):
    reason_code = "connector_disabled"
    status = 422
    title = "The connector of the integration is disabled"
    advice = "Ask the operator of the instance to enable it, or change the integration to another connector."


class ExecutionInProgress(ExecutionRefusal):
    reason_code = "execution_in_progress"
    status = 409
    title = "An execution is open on this work item"
    advice = "Wait for the execution, cancel it or reconcile it."


class CallbackContradicted(ExecutionRefusal):
    reason_code = "callback_contradicted"
    status = 409
    title = "The callback contradicts the recorded outcome"
    advice = "Do not send it again. A person compares the recorded outcome with what the receiver did."


class ExecutionNotCancellable(ExecutionRefusal):
    reason_code = "execution_not_cancellable"
    status = 409
    title = "The execution can no longer be cancelled"
    advice = "See the status of the execution."


class ExecutionNotRetryable(ExecutionRefusal):
    reason_code = "execution_not_retryable"
    status = 409
    title = "The execution cannot be retried"
    advice = "See the status of the execution."


class ExecutionNotReconcilable(ExecutionRefusal):
    reason_code = "execution_not_reconcilable"
    status = 409
    title = "The execution cannot be reconciled"
    advice = "See the status of the execution."


class ExecutionNotUndoable(ExecutionRefusal):
    reason_code = "execution_not_undoable"
    status = 409
    title = "The execution cannot be undone"
    advice = "Undo an execution that succeeded, whose action names an undo, and that was not undone before."


class FreezeLifted(ExecutionRefusal):
    reason_code = "freeze_lifted"
    status = 409
    title = "The freeze is already lifted"
    advice = "Set a new freeze if needed."


class ExpressionFailed(ExecutionRefusal):
    reason_code = "expression_failed"
    status = 422
    title = "An expression of the action failed"
    advice = "Check input and payload against the action."


class AuditUnavailable(ExecutionRefusal):
    reason_code = "audit_unavailable"
    status = 503
    title = "Receipts cannot be written"
    advice = "Nothing was changed. Retry later."


class WorkTooLong(ExecutionRefusal):
    reason_code = "work_too_long"
    status = 503
    title = "The work took longer than four minutes"
    advice = "Nothing was changed. Ask for less at once, or retry when the instance is less busy."


class StatementTooSlow(ExecutionRefusal):
    reason_code = "statement_too_slow"
    status = 503
    title = "The database took too long"
    advice = "Nothing was changed. Narrow the list by a filter or a time range, or ask for less at once."


class ServiceUnavailable(ExecutionRefusal):
    reason_code = "service_unavailable"
    status = 503
    title = "The database does not answer"
    advice = "The change was made as a whole or not at all. Repeat it in a moment, a POST with its Idempotency-Key."


class ServerBusy(ExecutionRefusal):
    reason_code = "server_busy"
    status = 503
    title = "This web process has too many requests"
    advice = "Nothing was changed. Retry in a moment."


class SearchTooSlow(ExecutionRefusal):
    reason_code = "search_too_slow"
    status = 503
    title = "The search took too long"
    advice = "Search for more or longer words, or narrow the list by a filter."


class DeliveryBusy(ExecutionRefusal):
    reason_code = "delivery_busy"
    status = 429
    title = "The delivery has too many requested attempts"
    advice = "Wait until the open test or resend has ended. A delivery takes a limited number of them in an hour."


class TooManyTests(ExecutionRefusal):
    reason_code = "too_many_tests"
    status = 429
    title = "Too many tests of integrations are open"
    advice = "Wait until one of them has ended, then request the test again."


class TooManyProofs(ExecutionRefusal):
    reason_code = "too_many_proofs"
    status = 429
    title = "A proof of this tenant is running, or has just ended"
    advice = "Wait until it has ended, and a minute longer, then request another one."


class TooManyConnections(ExecutionRefusal):
    reason_code = "too_many_connections"
    status = 429
    title = "Too many requests of one address at the same time"
    advice = "Nothing was changed. Wait for other requests to be answered, then retry."


class RateLimited(ExecutionRefusal):
    reason_code = "rate_limited"
    status = 429
    title = "Too many requests"
    advice = "Nothing was changed. Wait for the seconds in Retry-After, then retry."


class SignInDelayed(ExecutionRefusal):
    reason_code = "sign_in_delayed"
    status = 429
    title = "Too many sign-ins failed"
    advice = "Wait as long as Retry-After says, or use a browser in which you signed in before."


class ResetDelayed(ExecutionRefusal):
    reason_code = "reset_delayed"
    status = 429
    title = "Too many reset links were asked for"
    advice = "Wait as long as Retry-After says."


class SignInBusy(ExecutionRefusal):
    reason_code = "sign_in_busy"
    status = 429
    title = "Too many passwords are being checked"
    advice = "Nothing was changed. Retry in a moment."


class QuotaExceeded(ExecutionRefusal):
    reason_code = "quota_exceeded"
    status = 409
    title = "The tenant is at a quota"
    advice = "Nothing was changed. End or remove some of what quota names, or ask the operator to raise the quota."


class InstanceStarting(ExecutionRefusal):
    reason_code = "starting"
    status = 503
    title = "The instance is starting"
    advice = "Retry in a moment."


class InstanceStopping(ExecutionRefusal):
    reason_code = "stopping"
    status = 503
    title = "This web process is about to stop"
    advice = "Send the request to another web process."


class InstanceNotReady(ExecutionRefusal):
    reason_code = "not_ready"
    status = 503
    title = "The instance is not ready to serve"
    advice = "Fix the problem named in detail."


class InternalError(ThreadaError):
    """An unforeseen failure. Reason code, status, title and advice are those of `ThreadaError`."""
