"""Documentation of the reason codes."""

from __future__ import annotations

from threada_site.kernel.errors import REASONS, Category, Reason

HEADINGS = {
    Category.VALIDATION: "Validation: the request or document is invalid",
    Category.AUTHORIZATION: "Authorization: the caller may not do this",
    Category.POLICY: "Policy: a rule or a person refuses, or has not decided yet",
    Category.EXECUTION: "Execution: the action failed or the instance is unavailable",
}


def reasons_by_category() -> list[tuple[str, list[Reason]]]:
    """Return headings with their reason codes, in the order of the registry."""
    return [
        (heading, [reason for reason in REASONS.values() if reason.category is category])
        for category, heading in HEADINGS.items()
    ]


def reason_codes_markdown() -> str:
    """Return the text of `docs/reason-codes.md`."""
    lines = [
        "# Reason codes",
        "",
        "Every refusal contains one of these codes as `reason_code`. The meaning of a code never changes. Codes",
        "without a status occur in decisions, executions and messages only, never in the answer to a request.",
        "",
        "`manage.py write_reason_codes` writes this page; a running instance shows it at `/docs/reason-codes`.",
    ]
    for heading, reasons in reasons_by_category():
        lines += ["", f"## {heading}", "", "| code | status | meaning | what to do |", "|---|---|---|---|"]
        lines += [
            f"| `{reason.code}` | {reason.status or ''} | {reason.title} | {reason.advice} |" for reason in reasons
        ]
    return "\n".join(lines) + "\n"
