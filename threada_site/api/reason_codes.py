"""The registry of reason codes as documentation."""

from __future__ import annotations

from threada_site.kernel.errors import REASONS, Category, Reason

HEADINGS = {
    Category.VALIDATION: "Validation: what was sent cannot be taken as it is",
    Category.AUTHORIZATION: "Authorization: who asks may not do this",
    Category.POLICY: "Policy: a rule or a person says no, or not yet",
    Category.EXECUTION: "Execution: it could not be carried out",
}


def reasons_by_category() -> list[tuple[str, list[Reason]]]:
    """Headings with their codes, in the registry's order."""
    return [
        (heading, [reason for reason in REASONS.values() if reason.category is category])
        for category, heading in HEADINGS.items()
    ]


def reason_codes_markdown() -> str:
    """The whole of `docs/reason-codes.md`."""
    lines = [
        "# Reason codes",
        "",
        "Every refusal carries one of these as `reason_code`. A code keeps its meaning and is never used again",
        "for another. Where no status stands, it appears in decisions and executions, never as an answer to a request.",
        "",
        "This page is written by `manage.py write_reason_codes`; a running instance shows it at `/docs/reason-codes`.",
    ]
    for heading, reasons in reasons_by_category():
        lines += ["", f"## {heading}", "", "| code | status | meaning | what to do |", "|---|---|---|---|"]
        lines += [
            f"| `{reason.code}` | {reason.status or ''} | {reason.title} | {reason.advice} |" for reason in reasons
        ]
    return "\n".join(lines) + "\n"
