"""What was sent cannot be taken as it is."""

from __future__ import annotations

from typing import Final

from threada_site.kernel.reasons.reason import Category, reasons_of

VALIDATION: Final = reasons_of(
    Category.VALIDATION,
    [
        # Reading the request
        ("malformed_json", 400, "The body is not JSON", "Send one JSON value encoded as UTF-8."),
        ("json_not_interoperable", 400, "The JSON can be read in two ways", "Send I-JSON (RFC 7493)."),
        ("bad_request", 400, "The request cannot be read", "Check the request line, headers and query."),
        (
            "invalid_cursor",
            400,
            "The cursor is not valid here",
            "Start again without a cursor, with one set of filters.",
        ),
        ("not_found", 404, "There is no such thing here", "Check the id and the tenant."),
        ("method_not_allowed", 405, "The method is not allowed here", "See the Allow header."),
        ("not_acceptable", 406, "No acceptable representation", "Accept application/json."),
        ("payload_too_large", 413, "The body is too large", "Send less, or refer to a document by its address."),
        ("unsupported_media_type", 415, "The media type is not supported", "Send application/json."),
        ("invalid_request", 422, "The request has the wrong shape", "Fix the fields named in errors."),
        ("range_not_satisfiable", 416, "The range lies outside the file", "Ask for bytes below the size in detail."),
        ("precondition_failed", 412, "It has changed since you read it", "Read it again and repeat your change."),
        ("precondition_required", 428, "If-Match is required", "Read the ETag and send it as If-Match."),
        ("conflict", 409, "It exists already", "Choose another id, or change the one that exists."),
        (
            "idempotency_key_reused",
            422,
            "The idempotency key belongs to another body",
            "Use a new key for a new request.",
        ),
        ("idempotency_in_flight", 409, "The first request with this key is still running", "Retry in a moment."),
        # Work items
        ("payload_schema_violation", 422, "The payload does not fit its workflow", "Fix the fields named in errors."),
        ("unknown_workflow", 422, "There is no such workflow", "List GET /workflows."),
        ("unknown_channel", 422, "There is no such channel", "List GET /channels."),
        ("unknown_pack", 422, "There is no such pack", "List GET /packs."),
        ("unknown_group", 422, "There is no such group of people", "Define the group first."),
        ("channel_required", 422, "This workflow requires a channel", "Name channel_id."),
        ("unknown_requester", 422, "There is no such requester", "Name a principal of this tenant."),
        ("transition_not_allowed", 409, "Its state does not allow this", "See the work item's status and explain."),
        # Keeping and erasing
        ("legal_hold", 409, "A legal hold forbids this", "See what holds it; a tenant administrator lifts holds."),
        ("contents_removed", 409, "Its contents were removed", "Hand in a new work item."),
        (
            "retention_not_shown",
            409,
            "No dry run has shown what would be removed",
            "Make a dry run first, and read it.",
        ),
        # Configuration
        ("document_invalid", 422, "The document is not valid", "Fix what errors names."),
        ("policy_document_invalid", 422, "The policy document is not valid", "Fix what errors names."),
        ("policy_tests_failed", 422, "The policy's own tests fail", "Fix the rule or the test that errors names."),
        ("in_use", 409, "Something uses it", "Remove what errors names first."),
        ("version_not_draft", 409, "Only a draft can be changed", "Make a new version."),
        (
            "replay_report_required",
            409,
            "No replay shows what it would change",
            "Replay the draft against the version in force, read the report, then publish it.",
        ),
        (
            "emergency_pending",
            409,
            "An emergency publication of this policy waits to be confirmed",
            "Have a second person confirm it, or take it back.",
        ),
        (
            "emergency_over",
            409,
            "The emergency publication has ended",
            "Publish the version again, with a second person.",
        ),
        ("unknown_action", 422, "There is no such action", "See the integration's actions and the workflow's."),
        ("unknown_integration", 422, "There is no such integration", "List GET /integrations."),
        (
            "secret_reference_not_allowed",
            422,
            "This secret may not be referred to here",
            "Ask the instance's operator to list it in THREADA_SECRET_REFS.",
        ),
        ("window_too_large", 422, "The time window is too large", "Ask for 31 days or less."),
        # The ledger
        (
            "receipt_not_sealed",
            409,
            "The receipt is not sealed yet",
            "Receipts are sealed about once a second. Ask again in a moment; if it lasts, the operator should look.",
        ),
        ("checkpoint_not_sealed", 409, "No checkpoint is in the instance's log yet", "Ask again in a moment."),
        # Taking receipts along
        (
            "export_not_verifiable",
            409,
            "Only NDJSON holds the receipts' exact bytes",
            "Make an export in the format ndjson, and download its evidence.",
        ),
    ],
)
