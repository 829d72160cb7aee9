"""Refusals of a request as such: unreadable, of the wrong shape, in the wrong state."""

from threada_site.kernel.errors.base import ThreadaError


class MalformedJson(ThreadaError):
    reason_code = "malformed_json"


class JsonNotInteroperable(ThreadaError):
    reason_code = "json_not_interoperable"


class BadRequest(ThreadaError):
    reason_code = "bad_request"


class InvalidCursor(ThreadaError):
    reason_code = "invalid_cursor"


class NotFound(ThreadaError):
    reason_code = "not_found"


class MethodNotAllowed(ThreadaError):
    reason_code = "method_not_allowed"


class NotAcceptable(ThreadaError):
    reason_code = "not_acceptable"


class PayloadTooLarge(ThreadaError):
    reason_code = "payload_too_large"


class UnsupportedMediaType(ThreadaError):
    reason_code = "unsupported_media_type"


class InvalidRequest(ThreadaError):
    reason_code = "invalid_request"


class PreconditionFailed(ThreadaError):
    reason_code = "precondition_failed"


class PreconditionRequired(ThreadaError):
    reason_code = "precondition_required"


class Conflict(ThreadaError):
    reason_code = "conflict"


class IdempotencyKeyReused(ThreadaError):
    reason_code = "idempotency_key_reused"


class IdempotencyInFlight(ThreadaError):
    reason_code = "idempotency_in_flight"


class PayloadSchemaViolation(ThreadaError):
    reason_code = "payload_schema_violation"


class UnknownWorkflow(ThreadaError):
    reason_code = "unknown_workflow"


class UnknownChannel(ThreadaError):
    reason_code = "unknown_channel"


class UnknownPack(ThreadaError):
    reason_code = "unknown_pack"


class UnknownGroup(ThreadaError):
    reason_code = "unknown_group"


class ChannelRequired(ThreadaError):
    reason_code = "channel_required"


class UnknownRequester(ThreadaError):
    reason_code = "unknown_requester"


class TransitionNotAllowed(ThreadaError):
    reason_code = "transition_not_allowed"


class WindowTooLarge(ThreadaError):
    reason_code = "window_too_large"


class ReceiptNotSealed(ThreadaError):
    reason_code = "receipt_not_sealed"


class CheckpointNotSealed(ThreadaError):
    reason_code = "checkpoint_not_sealed"


class ReceiptDoesNotHold(ThreadaError):
    reason_code = "receipt_does_not_hold"


class LogDoesNotHold(ThreadaError):
    reason_code = "log_does_not_hold"


class RangeNotSatisfiable(ThreadaError):
    reason_code = "range_not_satisfiable"
