"""Refusals of a request itself: unreadable, of the wrong shape, or in the wrong state."""

from threada_site.kernel.errors.base import ExecutionRefusal, ValidationRefusal


class MalformedJson(ValidationRefusal):
    reason_code = "malformed_json"
    status = 400
    title = "The body is not JSON"
    advice = "Send one JSON value encoded as UTF-8."


class JsonNotInteroperable(ValidationRefusal):
    reason_code = "json_not_interoperable"
    status = 400
    title = "The JSON can be read in two ways"
    advice = "Send I-JSON (RFC 7493)."


class BadRequest(ValidationRefusal):
    reason_code = "bad_request"
    status = 400
    title = "The request cannot be read"
    advice = "Check the request line, headers and query."


class InvalidCursor(ValidationRefusal):
    reason_code = "invalid_cursor"
    status = 400
    title = "The cursor is not valid here"
    advice = "Start again without a cursor, with one set of filters."


class NotFound(ValidationRefusal):
    reason_code = "not_found"
    status = 404
    title = "There is no such thing here"
    advice = "Check the id and the tenant."


class MethodNotAllowed(ValidationRefusal):
    reason_code = "method_not_allowed"
    status = 405
    title = "The method is not allowed here"
    advice = "See the Allow header."


class NotAcceptable(ValidationRefusal):
    reason_code = "not_acceptable"
    status = 406
    title = "No acceptable representation"
    advice = "Accept application/json."


class PayloadTooLarge(ValidationRefusal):
    reason_code = "payload_too_large"
    status = 413
    title = "The body is too large"
    advice = "Send less, or refer to a document by its address."


class UnsupportedMediaType(ValidationRefusal):
    reason_code = "unsupported_media_type"
    status = 415
    title = "The media type is not supported"
    advice = "Send application/json."


class InvalidRequest(ValidationRefusal):
    reason_code = "invalid_request"
    status = 422
    title = "The request has the wrong shape"
    advice = "Fix the fields named in errors."


class PreconditionFailed(ValidationRefusal):
    reason_code = "precondition_failed"
    status = 412
    title = "It has changed since you read it"
    advice = "Read it again and repeat your change."


class PreconditionRequired(ValidationRefusal):
    reason_code = "precondition_required"
    status = 428
    title = "If-Match is required"
    advice = "Read the ETag and send it as If-Match."


class Conflict(ValidationRefusal):
    reason_code = "conflict"
    status = 409
    title = "It exists already"
    advice = "Choose another id, or change the one that exists."


class IdempotencyKeyReused(ValidationRefusal):
    reason_code = "idempotency_key_reused"
    status = 422
    title = "The idempotency key belongs to another body"
    advice = "Use a new key for a new request."


class IdempotencyInFlight(ValidationRefusal):
    reason_code = "idempotency_in_flight"
    status = 409
    title = "The first request with this key is still running"
    advice = "Retry in a moment."


class PayloadSchemaViolation(ValidationRefusal):
    reason_code = "payload_schema_violation"
    status = 422
    title = "The payload does not fit its workflow"
    advice = "Fix the fields named in errors."


class UnknownWorkflow(ValidationRefusal):
    reason_code = "unknown_workflow"
    status = 422
    title = "There is no such workflow"
    advice = "List GET /workflows."


class UnknownChannel(ValidationRefusal):
    reason_code = "unknown_channel"
    status = 422
    title = "There is no such channel"
    advice = "List GET /channels."


class UnknownPack(ValidationRefusal):
    reason_code = "unknown_pack"
    status = 422
    title = "There is no such pack"
    advice = "List GET /packs."


class UnknownGroup(ValidationRefusal):
    reason_code = "unknown_group"
    status = 422
    title = "There is no such group"
    advice = "Define the group first."


class ChannelRequired(ValidationRefusal):
    reason_code = "channel_required"
    status = 422
    title = "This workflow requires a channel"
    advice = "Name channel_id."


class UnknownRequester(ValidationRefusal):
    reason_code = "unknown_requester"
    status = 422
    title = "There is no such requester"
    advice = "Name a principal of this tenant."


class TransitionNotAllowed(ValidationRefusal):
    reason_code = "transition_not_allowed"
    status = 409
    title = "Its state does not allow this"
    advice = "See the work item's status and explain."


class WindowTooLarge(ValidationRefusal):
    reason_code = "window_too_large"
    status = 422
    title = "The time window is too large"
    advice = "Ask for 31 days or less."


class ReceiptNotSealed(ValidationRefusal):
    reason_code = "receipt_not_sealed"
    status = 409
    title = "The receipt is not sealed yet"
    advice = "Receipts are sealed about once a second. Ask again in a moment; if it lasts, the operator should look."


class CheckpointNotSealed(ValidationRefusal):
    reason_code = "checkpoint_not_sealed"
    status = 409
    title = "No checkpoint is in the instance's log yet"
    advice = "Ask again in a moment."


class ReceiptDoesNotHold(ExecutionRefusal):
    reason_code = "receipt_does_not_hold"
    status = 409
    title = "The receipt is not what was sealed"
    advice = "Somebody has changed the database. Keep it as it is, and run manage.py verify_receipts."


class LogDoesNotHold(ExecutionRefusal):
    reason_code = "log_does_not_hold"
    status = 409
    title = "The log is not the one that was sealed"
    advice = "Somebody has changed the database. Keep it as it is, and run manage.py verify_receipts."


class RangeNotSatisfiable(ValidationRefusal):
    reason_code = "range_not_satisfiable"
    status = 416
    title = "The range lies outside the file"
    advice = "Ask for bytes below the size in detail."
