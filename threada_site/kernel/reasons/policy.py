"""A rule or a person says no, or not yet."""

from __future__ import annotations

from typing import Final

from threada_site.kernel.reasons.reason import Category, reasons_of

POLICY: Final = reasons_of(
    Category.POLICY,
    [
        # What policy and people say
        ("policy_denied", 403, "A policy refuses this", "See reasons for the tenant's own words."),
        ("policy_missing", None, "No policy version is in force", "Publish a policy and bind it with an overlay."),
        (
            "policy_error",
            None,
            "A rule failed while it was evaluated",
            "Fix the rule; has(…) asks whether a key exists.",
        ),
        ("policy_malformed", None, "A policy version cannot be read", "Publish a corrected version."),
        ("policy_too_slow", None, "The rules took too long", "Simplify the rules or shorten the payload."),
        ("no_rule_matched", None, "No rule matched", "Add a rule that covers this case."),
        ("review_pending", 409, "A review is pending", "Wait for the review step."),
        ("approval_pending", 409, "An approval is pending", "Wait for the approval step."),
        ("envelope_changed", 409, "The envelope is not the one you were shown", "Read the step again, then decide."),
        ("step_closed", 409, "The step is no longer pending", "See the step's status."),
        ("already_voted", 409, "You have voted on this step", "One person counts once."),
        ("voter_excluded", 403, "You are excluded from this decision", "Somebody else has to decide."),
        ("stage_not_open", 409, "Your stage is not open yet", "Wait until the stages before it are decided."),
        ("voter_not_eligible", 403, "You do not count on this decision", "See waiting_for on the step."),
        ("reason_code_required", 422, "A rejection needs a reason code", "Send one of the workflow's reason codes."),
        (
            "unknown_reason_code",
            422,
            "The reason code is not in the workflow's list",
            "Send one of the codes named in errors.",
        ),
        ("comment_too_long", 422, "The comment is too long", "Shorten it to 4000 characters."),
        ("step_claimed", 409, "Somebody else has claimed this step", "Wait for its release or ask for it."),
        (
            "batch_mixed",
            422,
            "These steps do not belong together",
            "Batch only steps with the same rule and action; see batch_key on the steps.",
        ),
        ("batch_too_large", 422, "Too many steps for one batch", "Send no more than the cap that detail names."),
        (
            "assignee_not_eligible",
            422,
            "They do not count on this decision",
            "Name somebody the step waits for, or escalate it.",
        ),
        (
            "nobody_to_escalate_to",
            422,
            "There is nobody to escalate to",
            "Name in `to` a role, group or user that may decide.",
        ),
        ("already_escalated", 409, "It is escalated to them already", "See escalated_to on the step."),
        (
            "delegate_not_eligible",
            422,
            "They cannot stand in",
            "Name an active person of this tenant who holds decisions:decide.",
        ),
        (
            "delegation_overlaps",
            409,
            "There is a delegate for that time already",
            "End the other delegation first, or choose another time.",
        ),
        ("delegation_ended", 409, "The delegation has ended", "Make a new one."),
    ],
)
