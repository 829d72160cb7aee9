"""Refusals of requests: unreadable, against their schema, or against the current status."""

from threada_site.kernel.errors.base import ExecutionRefusal, ValidationRefusal


class MalformedJson(ValidationRefusal):
    reason_code = "malformed_json"
    status = 400
    title = "The body is not JSON"
    advice = "Send one JSON value encoded as UTF-8."


class JsonNotInteroperable(ValidationRefusal):
    reason_code = "json_not_interoperable"
    status = 400
    title = "The JSON is ambiguous"
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
    advice = "Start without a cursor, and keep the filters the same."


class NotFound(ValidationRefusal):
    reason_code = "not_found"
    status = 404
    title = "The resource does not exist"
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
    advice = "Send a smaller body, or link to the document."


class AttachmentTooLarge(ValidationRefusal):
    reason_code = "attachment_too_large"
    status = 413
    title = "The file is too large"
    advice = "Send a smaller file, or link to the document."


class AttachmentTypeRefused(ValidationRefusal):
    reason_code = "attachment_type_refused"
    status = 422
    title = "The file has a type that is not accepted"
    advice = "Send a file of an accepted type whose name and contents agree with it."


class AttachmentNotUsable(ValidationRefusal):
    reason_code = "attachment_not_usable"
    status = 422
    title = "The attachment cannot be used here"
    advice = "Upload the file again, and use its new id once."


class RequestTimeout(ValidationRefusal):
    reason_code = "request_timeout"
    status = 408
    title = "The body arrived too slowly"
    advice = "Send the whole request without pauses, on a new connection."


class UnsupportedMediaType(ValidationRefusal):
    reason_code = "unsupported_media_type"
    status = 415
    title = "The media type is not supported"
    advice = "Send application/json."


class InvalidRequest(ValidationRefusal):
    reason_code = "invalid_request"
    status = 422
    title = "The request does not match its schema"
    advice = "Fix the fields listed in errors."


class PreconditionFailed(ValidationRefusal):
    reason_code = "precondition_failed"
    status = 412
    title = "The resource has changed since it was read"
    advice = "Read it again and repeat the change."


class PreconditionRequired(ValidationRefusal):
    reason_code = "precondition_required"
    status = 428
    title = "If-Match is required"
    advice = "Read the ETag and send it as If-Match."


class Conflict(ValidationRefusal):
    reason_code = "conflict"
    status = 409
    title = "The resource already exists"
    advice = "Choose another id, or change the existing resource."


class LastSteward(ValidationRefusal):
    reason_code = "last_steward"
    status = 409
    title = "You are the last steward of the tenant"
    advice = "Give another person the role tenant_admin first, or ask the operator of the instance."


class IdempotencyKeyReused(ValidationRefusal):
    reason_code = "idempotency_key_reused"
    status = 422
    title = "The idempotency key was used with another body"
    advice = "Use a new key for a new request."


class IdempotencyAnswerGone(ValidationRefusal):
    reason_code = "idempotency_answer_gone"
    status = 409
    title = "The work was done, and its answer is not stored any more"
    advice = "Read the resource. A new request needs a new key."


class IdempotencyInFlight(ValidationRefusal):
    reason_code = "idempotency_in_flight"
    status = 409
    title = "The first request with this key is still running"
    advice = "Retry in a moment."


class PayloadSchemaViolation(ValidationRefusal):
    reason_code = "payload_schema_violation"
    status = 422
    title = "The payload does not match the schema of its workflow"
    advice = "Fix the fields listed in errors."


class UnknownWorkflow(ValidationRefusal):
    reason_code = "unknown_workflow"
    status = 422
    title = "There is no such workflow"
    advice = "List the workflows with GET /workflows."


class UnknownChannel(ValidationRefusal):
    reason_code = "unknown_channel"
    status = 422
    title = "There is no such channel"
    advice = "List the channels with GET /channels."


class UnknownPack(ValidationRefusal):
    reason_code = "unknown_pack"
    status = 422
    title = "There is no such pack"
    advice = "List the packs with GET /packs."


class UnknownGroup(ValidationRefusal):
    reason_code = "unknown_group"
    status = 422
    title = "There is no such group"
    advice = "Define the group first."


class ChannelRequired(ValidationRefusal):
    reason_code = "channel_required"
    status = 422
    title = "This workflow requires a channel"
    advice = "Send channel_id."


class UnknownRequester(ValidationRefusal):
    reason_code = "unknown_requester"
    status = 422
    title = "There is no such requester"
    advice = "Name a person, service or agent of this tenant."


class ExternalRefTaken(ValidationRefusal):
    reason_code = "external_ref_taken"
    status = 409
    title = "The workflow has a work item with this external reference"
    advice = "Find it by GET /work-items?external_ref=…, or send another external_ref."


class TransitionNotAllowed(ValidationRefusal):
    reason_code = "transition_not_allowed"
    status = 409
    title = "The current status does not allow this"
    advice = "See the status and the explanation of the work item."


class WindowTooLarge(ValidationRefusal):
    reason_code = "window_too_large"
    status = 422
    title = "The time window is too large"
    advice = "Request at most 31 days."


class ReceiptNotSealed(ValidationRefusal):
    reason_code = "receipt_not_sealed"
    status = 409
    title = "The receipt is not sealed yet"
    advice = "Receipts are sealed about once a second. Retry in a moment. If this lasts, ask the operator to check."


class CheckpointNotSealed(ValidationRefusal):
    reason_code = "checkpoint_not_sealed"
    status = 409
    title = "The instance log contains no checkpoint yet"
    advice = "Retry in a moment."


class ReceiptDoesNotHold(ExecutionRefusal):
    reason_code = "receipt_does_not_hold"
    status = 409
    title = "The receipt differs from the sealed receipt"
    advice = "The database was changed. Do not change it further, and run manage.py verify_receipts."


class LogDoesNotHold(ExecutionRefusal):
    reason_code = "log_does_not_hold"
    status = 409
    title = "The log differs from the sealed log"
    advice = "The database was changed. Do not change it further, and run manage.py verify_receipts."


class RangeNotSatisfiable(ValidationRefusal):
    reason_code = "range_not_satisfiable"
    status = 416
    title = "The range is outside the file"
    advice = "Request bytes below the size in detail."
