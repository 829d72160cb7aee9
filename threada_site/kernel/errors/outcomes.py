"""Reason codes of decisions, executions and messages. No request is answered with them."""

from __future__ import annotations

from typing import Final

from threada_site.kernel.errors.reason import Category, Reason


def _reasons(category: Category, *rows: tuple[str, str, str]) -> tuple[Reason, ...]:
    """Return reasons of one category from rows of code, title and advice."""
    return tuple(Reason(code, category, None, title, advice) for code, title, advice in rows)


OUTCOME_REASONS: Final = (
    *_reasons(
        Category.POLICY,
        ("policy_missing", "No policy version is in force", "Publish a policy and bind it with an overlay."),
        ("policy_error", "A rule failed while it was evaluated", "Fix the rule. Use has(…) to test if a key exists."),
        ("policy_malformed", "A policy version cannot be read", "Publish a corrected version."),
        ("policy_too_slow", "The rules took too long", "Simplify the rules or shorten the payload."),
        ("no_rule_matched", "No rule matched", "Add a rule that covers this case."),
    ),
    *_reasons(
        Category.EXECUTION,
        (
            "deadline_passed",
            "The deadline for retries has passed",
            "See the attempts. Retry the execution when the receiver works again.",
        ),
        (
            "timeout",
            "The receiver did not answer in time",
            "It may have acted. Reconcile, or retry if idempotent.",
        ),
        ("connection_refused", "No connection to the receiver", "Check the address, and that the receiver runs."),
        ("receiver_rate_limited", "The receiver asks to slow down", "The execution is retried after Retry-After."),
        ("rejected_by_receiver", "The receiver refused the request", "See the recorded response."),
        ("bad_response", "The response of the receiver is not valid", "It may have acted. Reconcile the execution."),
        (
            "blocked_address",
            "Calls to the address are blocked",
            "Ask the operator of the instance to add it to THREADA_EGRESS_ALLOW.",
        ),
        (
            "credential_unavailable",
            "The secret of the integration cannot be read",
            "Set the named variable or file.",
        ),
        (
            "attachment_mismatch",
            "A file differs from what was approved, or no longer exists",
            "Start a new execution, with the file uploaded again.",
        ),
        ("envelope_mismatch", "The execution differs from what was approved", "Start a new execution."),
        (
            "approval_missing",
            "The approvals do not satisfy the policies in force",
            "An approval is missing, too old, or of somebody who may no longer decide. See the pending step.",
        ),
        (
            "undo_blocked_by_freeze",
            "A freeze blocks an undo that is due",
            "Lift the freeze, or undo the action outside of Threada.",
        ),
        ("worker_lost", "Workers stopped while they ran the execution", "See the attempts before a retry."),
        (
            "notice_unsubscribed",
            "The recipient has turned this notification off",
            "Nothing needs to be done. Recipients choose their notifications.",
        ),
        ("notice_no_address", "The recipient has no address", "Enter an address in the notification preferences."),
        (
            "notice_channel_off",
            "The instance does not send on this channel",
            "Ask the operator of the instance to set THREADA_SMTP_URL for mail.",
        ),
        (
            "notice_overtaken",
            "The notification is no longer needed",
            "The step was closed, or the recipient voted.",
        ),
        ("notice_outdated", "The message was too old to send", "Find out why it was not sent for three days."),
        ("notice_recipient_gone", "The recipient has left the tenant", "Nothing needs to be done."),
        (
            "message_unconfirmed",
            "It is unknown whether the message arrived",
            "It is not sent twice. Its content is shown in the console.",
        ),
        ("records_rejected", "The collector rejected receipts", "They are not sent again. Export them."),
    ),
)
