"""The registry of reason codes: stable, documented, never reused. HTTP statuses are mapped here and nowhere else.

`docs/reason-codes.md` is written from this table. A code is added, or marked as retired; it never changes its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Category(StrEnum):
    """The documented error categories."""

    VALIDATION = "validation"
    AUTHORIZATION = "authorization"
    POLICY = "policy"
    EXECUTION = "execution"


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason code. `status` is None for codes that appear in decisions and executions, never as an HTTP problem."""

    code: str
    category: Category
    status: int | None
    title: str
    advice: str


_V, _A, _P, _E = Category.VALIDATION, Category.AUTHORIZATION, Category.POLICY, Category.EXECUTION

_TABLE: Final = (
    # Reading the request
    Reason("malformed_json", _V, 400, "The body is not JSON", "Send one JSON value encoded as UTF-8."),
    Reason("json_not_interoperable", _V, 400, "The JSON can be read in two ways", "Send I-JSON (RFC 7493)."),
    Reason("bad_request", _V, 400, "The request cannot be read", "Check the request line, headers and query."),
    Reason(
        "invalid_cursor",
        _V,
        400,
        "The cursor is not valid here",
        "Start again without a cursor, with one set of filters.",
    ),
    Reason("not_found", _V, 404, "There is no such thing here", "Check the id and the tenant."),
    Reason("method_not_allowed", _V, 405, "The method is not allowed here", "See the Allow header."),
    Reason("not_acceptable", _V, 406, "No acceptable representation", "Accept application/json."),
    Reason("payload_too_large", _V, 413, "The body is too large", "Send less, or refer to a document by its address."),
    Reason("unsupported_media_type", _V, 415, "The media type is not supported", "Send application/json."),
    Reason("invalid_request", _V, 422, "The request has the wrong shape", "Mend the fields named in errors."),
    Reason(
        "range_not_satisfiable", _V, 416, "The range lies outside the file", "Ask for bytes below the size in detail."
    ),
    Reason("precondition_failed", _V, 412, "It has changed since you read it", "Read it again and repeat your change."),
    Reason("precondition_required", _V, 428, "If-Match is required", "Read the ETag and send it as If-Match."),
    Reason("conflict", _V, 409, "It exists already", "Choose another id, or change the one that exists."),
    Reason(
        "idempotency_key_reused",
        _V,
        422,
        "The idempotency key belongs to another body",
        "Use a new key for a new request.",
    ),
    Reason("idempotency_in_flight", _V, 409, "The first request with this key is still running", "Retry in a moment."),
    # Work items
    Reason(
        "payload_schema_violation", _V, 422, "The payload does not fit its workflow", "Mend the fields named in errors."
    ),
    Reason("unknown_workflow", _V, 422, "There is no such workflow", "List GET /workflows."),
    Reason("unknown_channel", _V, 422, "There is no such channel", "List GET /channels."),
    Reason("unknown_pack", _V, 422, "There is no such pack", "List GET /packs."),
    Reason("unknown_group", _V, 422, "There is no such group of people", "Define the group first."),
    Reason("channel_required", _V, 422, "This workflow requires a channel", "Name channel_id."),
    Reason("unknown_requester", _V, 422, "There is no such requester", "Name a principal of this tenant."),
    Reason(
        "transition_not_allowed", _V, 409, "Its state does not allow this", "See the work item's status and explain."
    ),
    # Keeping and erasing
    Reason(
        "legal_hold", _V, 409, "A legal hold forbids this", "See what holds it; a tenant administrator lifts holds."
    ),
    Reason("contents_removed", _V, 409, "Its contents were removed", "Hand in a new work item."),
    Reason(
        "retention_not_shown",
        _V,
        409,
        "No dry run has shown what would be removed",
        "Make a dry run first, and read it.",
    ),
    Reason(
        "receipt_mismatch",
        _E,
        500,
        "A receipt is not what was sealed",
        "Run verify_receipts and ask who changed it. Nothing was removed.",
    ),
    Reason("archive_unavailable", _E, 503, "The archive cannot be used", "Nothing was removed. Mend what detail says."),
    # Configuration
    Reason("document_invalid", _V, 422, "The document is not valid", "Mend what errors names."),
    Reason("policy_document_invalid", _V, 422, "The policy document is not valid", "Mend what errors names."),
    Reason(
        "policy_tests_failed", _V, 422, "The policy's own tests fail", "Mend the rule or the test that errors names."
    ),
    Reason("in_use", _V, 409, "Something uses it", "Remove what errors names first."),
    Reason("version_not_draft", _V, 409, "Only a draft can be changed", "Make a new version."),
    Reason(
        "second_person_required",
        _A,
        403,
        "A second person has to do this",
        "Ask somebody else who may do it, and who had no part in it so far.",
    ),
    Reason(
        "replay_report_required",
        _V,
        409,
        "No replay shows what it would change",
        "Replay the draft against the version in force, read the report, then publish it.",
    ),
    Reason("person_required", _A, 403, "Only a person may do this", "Services and agents do not count as people."),
    Reason(
        "emergency_pending",
        _V,
        409,
        "An emergency publication of this policy waits to be confirmed",
        "Have a second person confirm it, or take it back.",
    ),
    Reason(
        "emergency_over",
        _V,
        409,
        "The emergency publication has ended",
        "Publish the version anew, with a second person.",
    ),
    Reason("unknown_action", _V, 422, "There is no such action", "See the integration's actions and the workflow's."),
    Reason("unknown_integration", _V, 422, "There is no such integration", "List GET /integrations."),
    Reason(
        "secret_reference_not_allowed",
        _V,
        422,
        "This secret may not be referred to here",
        "Ask the instance's operator to list it in THREADA_SECRET_REFS.",
    ),
    Reason("window_too_large", _V, 422, "The time window is too large", "Ask for 31 days or less."),
    # Who may
    Reason("credential_missing", _A, 401, "No credential was sent", "Send Authorization: Bearer thr_…"),
    Reason("credential_invalid", _A, 401, "The credential is not valid", "Issue a new one."),
    Reason("credential_expired", _A, 401, "The credential has expired", "Issue a new one."),
    Reason("credential_revoked", _A, 401, "The credential was revoked", "Issue a new one."),
    Reason("principal_inactive", _A, 403, "The principal is switched off", "Ask a tenant administrator."),
    Reason("tenant_required", _A, 403, "The tenant must be named", "Send Threada-Tenant: <slug>."),
    Reason(
        "tenant_mismatch",
        _A,
        403,
        "The credential does not belong to this tenant",
        "Send the tenant the credential was issued in.",
    ),
    Reason("role_not_held", _A, 403, "The role is not held", "Leave Threada-Role out or name a role you hold."),
    Reason(
        "scope_missing",
        _A,
        403,
        "The credential lacks a scope",
        "Use a credential that holds the scope named in detail.",
    ),
    Reason("permission_denied", _A, 403, "You may not do this here", "Ask a tenant administrator for the right role."),
    Reason(
        "scope_not_grantable",
        _A,
        422,
        "The roles do not hold the scopes asked for",
        "Ask for fewer scopes or add a role.",
    ),
    Reason("csrf_failed", _A, 403, "The form has expired", "Reload the page and try again."),
    # What policy and people say
    Reason("policy_denied", _P, 403, "A policy refuses this", "See reasons for the tenant's own words."),
    Reason(
        "policy_missing", _P, None, "No policy version is in force", "Publish a policy and bind it with an overlay."
    ),
    Reason(
        "policy_error",
        _P,
        None,
        "A rule failed while it was evaluated",
        "Mend the rule; has(…) asks whether a key exists.",
    ),
    Reason("policy_malformed", _P, None, "A policy version cannot be read", "Publish a corrected version."),
    Reason("policy_too_slow", _P, None, "The rules took too long", "Simplify the rules or shorten the payload."),
    Reason("no_rule_matched", _P, None, "No rule matched", "Add a rule that covers this case."),
    Reason("review_pending", _P, 409, "A review is pending", "Wait for the review step."),
    Reason("approval_pending", _P, 409, "An approval is pending", "Wait for the approval step."),
    Reason(
        "envelope_changed",
        _P,
        409,
        "The envelope is not the one you were shown",
        "Read the step again and decide anew.",
    ),
    Reason("step_closed", _P, 409, "The step is no longer pending", "See the step's status."),
    Reason("already_voted", _P, 409, "You have voted on this step", "One person counts once."),
    Reason("voter_excluded", _P, 403, "You are excluded from this decision", "Somebody else has to decide."),
    Reason("stage_not_open", _P, 409, "Your stage is not open yet", "Wait until the stages before it are decided."),
    Reason("voter_not_eligible", _P, 403, "You do not count on this decision", "See waiting_for on the step."),
    Reason(
        "reason_code_required", _P, 422, "A rejection needs a reason code", "Send one of the workflow's reason codes."
    ),
    Reason(
        "unknown_reason_code",
        _P,
        422,
        "The reason code is not in the workflow's list",
        "Send one of the codes named in errors.",
    ),
    Reason("comment_too_long", _P, 422, "The comment is too long", "Shorten it to 4000 characters."),
    Reason("step_claimed", _P, 409, "Somebody else has claimed this step", "Wait for its release or ask for it."),
    Reason(
        "step_up_required",
        _A,
        403,
        "This vote needs the password again",
        "Vote in the console and enter the password there: a token proves nobody's presence.",
    ),
    Reason("step_up_failed", _A, 403, "The password is not right", "Enter your password again; nothing was decided."),
    Reason(
        "batch_mixed",
        _P,
        422,
        "These steps do not belong together",
        "Batch only steps with the same rule and action; see batch_key on the steps.",
    ),
    Reason("batch_too_large", _P, 422, "Too many steps for one act", "Send no more than the cap that detail names."),
    Reason(
        "assignee_not_eligible",
        _P,
        422,
        "They do not count on this decision",
        "Name somebody the step waits for, or escalate it.",
    ),
    Reason(
        "nobody_to_escalate_to",
        _P,
        422,
        "There is nobody to escalate to",
        "Name in `to` a role, group or user that may decide.",
    ),
    Reason("already_escalated", _P, 409, "It is escalated to them already", "See escalated_to on the step."),
    Reason(
        "delegate_not_eligible",
        _P,
        422,
        "They cannot stand in",
        "Name an active person of this tenant who holds decisions:decide.",
    ),
    Reason(
        "delegation_overlaps",
        _P,
        409,
        "There is a delegate for that time already",
        "End the other delegation first, or choose another time.",
    ),
    Reason("delegation_ended", _P, 409, "The delegation has ended", "Make a new one."),
    # Carrying it out
    Reason(
        "action_not_allowed", _E, 422, "The workflow does not allow this action", "Add it to the workflow's actions."
    ),
    Reason(
        "execution_in_progress",
        _E,
        409,
        "An execution is open on this work item",
        "Wait for it, cancel or reconcile it.",
    ),
    Reason("execution_not_cancellable", _E, 409, "The execution can no longer be cancelled", "See its status."),
    Reason("execution_not_retryable", _E, 409, "The execution cannot be retried", "See its status."),
    Reason("execution_not_reconcilable", _E, 409, "The execution does not wait to be reconciled", "See its status."),
    Reason("freeze_lifted", _E, 409, "The freeze has been lifted", "Set another one if need be."),
    Reason(
        "execution_not_undoable",
        _E,
        409,
        "The execution cannot be undone",
        "Only one that succeeded, whose action names an undo, and once.",
    ),
    Reason(
        "deadline_passed",
        _E,
        None,
        "The time for trying again is over",
        "See the attempts; retry it once the receiver is well.",
    ),
    Reason(
        "expression_failed",
        _E,
        422,
        "An expression of the action failed",
        "Check input and payload against the action.",
    ),
    Reason(
        "timeout",
        _E,
        None,
        "The receiver did not answer in time",
        "It may have acted: reconcile, or retry if idempotent.",
    ),
    Reason("connection_refused", _E, None, "No connection to the receiver", "Check the address and that it runs."),
    Reason("rate_limited", _E, None, "The receiver asks to slow down", "It is tried again after Retry-After."),
    Reason("rejected_by_receiver", _E, None, "The receiver refused the request", "See the recorded answer."),
    Reason("bad_response", _E, None, "The receiver's answer cannot be understood", "It may have acted: reconcile."),
    Reason(
        "blocked_address",
        _E,
        None,
        "The address may not be called",
        "The instance's operator can list it in THREADA_EGRESS_ALLOW.",
    ),
    Reason(
        "credential_unavailable",
        _E,
        None,
        "The integration's secret cannot be read",
        "Set the variable or file it names.",
    ),
    Reason("envelope_mismatch", _E, None, "What would run is not what was approved", "Start a new execution."),
    Reason("worker_lost", _E, None, "Workers died while running this", "See the attempts before you retry."),
    # Telling people
    Reason("notice_unsubscribed", _E, None, "They do not want to be told of this", "They choose what they are told."),
    Reason(
        "notice_no_address",
        _E,
        None,
        "There is no address to write to",
        "Enter one in the notification preferences.",
    ),
    Reason(
        "notice_channel_off",
        _E,
        None,
        "The instance does not send on this channel",
        "The instance's operator sets THREADA_SMTP_URL for mail.",
    ),
    Reason("notice_overtaken", _E, None, "There was nothing left to ask", "The step had closed, or they had decided."),
    Reason("notice_outdated", _E, None, "It was news no more", "See why it could not be sent for three days."),
    Reason("notice_recipient_gone", _E, None, "They do not belong to the tenant any more", "Nothing has to be done."),
    Reason(
        "message_unconfirmed",
        _E,
        None,
        "Whether the message arrived is not known",
        "It is not sent twice. What it told stands in the console.",
    ),
    # The ledger
    Reason(
        "receipt_does_not_hold",
        _E,
        409,
        "The receipt is not what was sealed",
        "Somebody has changed the database. Keep it as it is, and run manage.py verify_receipts.",
    ),
    Reason(
        "receipt_not_sealed",
        _V,
        409,
        "The receipt is not sealed yet",
        "Receipts are sealed about once a second. Ask again in a moment; if it lasts, the operator should look.",
    ),
    Reason("checkpoint_not_sealed", _V, 409, "No checkpoint is in the instance's log yet", "Ask again in a moment."),
    # Taking receipts along
    Reason("export_not_ready", _E, 409, "The export is not ready", "Read it again after Retry-After, then download."),
    Reason(
        "export_not_verifiable",
        _V,
        409,
        "Only NDJSON holds the receipts' exact bytes",
        "Make an export in the format ndjson, and download its evidence.",
    ),
    Reason("export_gone", _E, 410, "The export's file is gone", "Make the export anew."),
    Reason(
        "export_target_unavailable",
        _E,
        503,
        "The folder of exports cannot be used",
        "Mend THREADA_EXPORT_DIR (room, rights, the shared folder); then retry the export.",
    ),
    Reason("records_rejected", _E, None, "The collector rejected receipts", "They are not sent again: export them."),
    # The instance itself
    Reason("audit_unavailable", _E, 503, "Receipts cannot be written", "Nothing was changed. Retry later."),
    Reason("service_unavailable", _E, 503, "The database does not answer", "Nothing was changed. Retry in a moment."),
    Reason("starting", _E, 503, "The instance is starting", "Ask again in a moment."),
    Reason(
        "stopping", _E, 503, "This web process is about to stop", "Ask another one; it still answers what comes in."
    ),
    Reason("not_ready", _E, 503, "The instance is not ready to serve", "Mend what detail names."),
    Reason("internal_error", _E, 500, "Something broke here", "Report the correlation id to the instance's operator."),
)

REASONS: Final[dict[str, Reason]] = {reason.code: reason for reason in _TABLE}
