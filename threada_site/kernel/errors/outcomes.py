"""Reason codes of decisions, executions and messages that never are the answer to a request."""

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
        ("policy_error", "A rule failed while it was evaluated", "Fix the rule; has(…) asks whether a key exists."),
        ("policy_malformed", "A policy version cannot be read", "Publish a corrected version."),
        ("policy_too_slow", "The rules took too long", "Simplify the rules or shorten the payload."),
        ("no_rule_matched", "No rule matched", "Add a rule that covers this case."),
    ),
    *_reasons(
        Category.EXECUTION,
        (
            "deadline_passed",
            "The deadline for retries has passed",
            "See the attempts; retry it once the receiver is well.",
        ),
        ("timeout", "The receiver did not answer in time", "It may have acted: reconcile, or retry if idempotent."),
        ("connection_refused", "No connection to the receiver", "Check the address and that it runs."),
        ("rate_limited", "The receiver asks to slow down", "It is tried again after Retry-After."),
        ("rejected_by_receiver", "The receiver refused the request", "See the recorded answer."),
        ("bad_response", "The receiver's answer cannot be understood", "It may have acted: reconcile."),
        (
            "blocked_address",
            "The address may not be called",
            "The instance's operator can list it in THREADA_EGRESS_ALLOW.",
        ),
        ("credential_unavailable", "The integration's secret cannot be read", "Set the variable or file it names."),
        ("envelope_mismatch", "What would run is not what was approved", "Start a new execution."),
        ("worker_lost", "Workers died while running this", "See the attempts before you retry."),
        (
            "notice_unsubscribed",
            "The recipient has turned this notification off",
            "Recipients choose their notifications.",
        ),
        ("notice_no_address", "The recipient has no address", "Enter one in the notification preferences."),
        (
            "notice_channel_off",
            "The instance does not send on this channel",
            "The instance's operator sets THREADA_SMTP_URL for mail.",
        ),
        ("notice_overtaken", "The question was already settled", "The step had closed, or the recipient had decided."),
        ("notice_outdated", "The message was too old to send", "Find out why it could not be sent for three days."),
        ("notice_recipient_gone", "The recipient has left the tenant", "Nothing has to be done."),
        (
            "message_unconfirmed",
            "It is unknown whether the message arrived",
            "It is not sent twice. Its content is shown in the console.",
        ),
        ("records_rejected", "The collector rejected receipts", "They are not sent again: export them."),
    ),
)
