"""It could not be carried out."""

from __future__ import annotations

from typing import Final

from threada_site.kernel.reasons.reason import Category, reasons_of

EXECUTION: Final = reasons_of(
    Category.EXECUTION,
    [
        # Keeping and erasing
        (
            "receipt_mismatch",
            500,
            "A receipt is not what was sealed",
            "Run verify_receipts and ask who changed it. Nothing was removed.",
        ),
        ("archive_unavailable", 503, "The archive cannot be used", "Nothing was removed. Fix what detail says."),
        # Carrying it out
        ("action_not_allowed", 422, "The workflow does not allow this action", "Add it to the workflow's actions."),
        (
            "execution_in_progress",
            409,
            "An execution is open on this work item",
            "Wait for it, cancel or reconcile it.",
        ),
        ("execution_not_cancellable", 409, "The execution can no longer be cancelled", "See its status."),
        ("execution_not_retryable", 409, "The execution cannot be retried", "See its status."),
        ("execution_not_reconcilable", 409, "The execution does not wait to be reconciled", "See its status."),
        ("freeze_lifted", 409, "The freeze has been lifted", "Set another one if need be."),
        (
            "execution_not_undoable",
            409,
            "The execution cannot be undone",
            "Only one that succeeded, whose action names an undo, and once.",
        ),
        (
            "deadline_passed",
            None,
            "The time for trying again is over",
            "See the attempts; retry it once the receiver is well.",
        ),
        ("expression_failed", 422, "An expression of the action failed", "Check input and payload against the action."),
        (
            "timeout",
            None,
            "The receiver did not answer in time",
            "It may have acted: reconcile, or retry if idempotent.",
        ),
        ("connection_refused", None, "No connection to the receiver", "Check the address and that it runs."),
        ("rate_limited", None, "The receiver asks to slow down", "It is tried again after Retry-After."),
        ("rejected_by_receiver", None, "The receiver refused the request", "See the recorded answer."),
        ("bad_response", None, "The receiver's answer cannot be understood", "It may have acted: reconcile."),
        (
            "blocked_address",
            None,
            "The address may not be called",
            "The instance's operator can list it in THREADA_EGRESS_ALLOW.",
        ),
        (
            "credential_unavailable",
            None,
            "The integration's secret cannot be read",
            "Set the variable or file it names.",
        ),
        ("envelope_mismatch", None, "What would run is not what was approved", "Start a new execution."),
        ("worker_lost", None, "Workers died while running this", "See the attempts before you retry."),
        # Telling people
        ("notice_unsubscribed", None, "They do not want to be told of this", "They choose what they are told."),
        ("notice_no_address", None, "There is no address to write to", "Enter one in the notification preferences."),
        (
            "notice_channel_off",
            None,
            "The instance does not send on this channel",
            "The instance's operator sets THREADA_SMTP_URL for mail.",
        ),
        ("notice_overtaken", None, "There was nothing left to ask", "The step had closed, or they had decided."),
        ("notice_outdated", None, "It was news no more", "See why it could not be sent for three days."),
        ("notice_recipient_gone", None, "They do not belong to the tenant any more", "Nothing has to be done."),
        (
            "message_unconfirmed",
            None,
            "Whether the message arrived is not known",
            "It is not sent twice. What it told stands in the console.",
        ),
        # The ledger
        (
            "receipt_does_not_hold",
            409,
            "The receipt is not what was sealed",
            "Somebody has changed the database. Keep it as it is, and run manage.py verify_receipts.",
        ),
        (
            "log_does_not_hold",
            409,
            "The log is not the one that was sealed",
            "Somebody has changed the database. Keep it as it is, and run manage.py verify_receipts.",
        ),
        # Taking receipts along
        ("export_not_ready", 409, "The export is not ready", "Read it again after Retry-After, then download."),
        ("export_gone", 410, "The export's file is gone", "Make the export again."),
        (
            "export_target_unavailable",
            503,
            "The folder of exports cannot be used",
            "Fix THREADA_EXPORT_DIR (free space, permissions, the shared folder); then retry the export.",
        ),
        ("records_rejected", None, "The collector rejected receipts", "They are not sent again: export them."),
        # The instance itself
        ("audit_unavailable", 503, "Receipts cannot be written", "Nothing was changed. Retry later."),
        ("service_unavailable", 503, "The database does not answer", "Nothing was changed. Retry in a moment."),
        ("starting", 503, "The instance is starting", "Ask again in a moment."),
        ("stopping", 503, "This web process is about to stop", "Ask another one; it still answers what comes in."),
        ("not_ready", 503, "The instance is not ready to serve", "Fix what detail names."),
        ("internal_error", 500, "Something broke here", "Report the correlation id to the instance's operator."),
    ],
)
