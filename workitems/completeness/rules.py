"""Rules for the receipts that a case must have, derived from its rows. Pure.

A receipt that was deleted before it was sealed is in no log. Its row still exists and proves that the receipt is
missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

ENDED_STEPS: Final = frozenset({"approved", "rejected", "expired", "cancelled", "superseded"})
SETTLED_EXECUTIONS: Final = frozenset({"succeeded", "failed", "outcome_unknown", "rejected", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class CaseEvent:
    """Event of a case that needs a receipt: a verb (`approved`) and the public id of the row."""

    verb: str
    public_id: str

    def __str__(self) -> str:
        return f"{self.public_id}: there is no receipt that says it was {self.verb}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRows:
    """Rows of one case, by public id. `attempts` contains (execution, number) of attempts with an outcome.

    `comments` contains (comment, number) of all versions.
    """

    work_item_id: str
    status: str
    executions: Mapping[str, str]
    attempts: Iterable[tuple[str, int]]
    steps: Mapping[str, str]
    votes: Iterable[str]
    decisions: Iterable[str]
    comments: Iterable[tuple[str, int]] = ()
    removed_comments: Iterable[str] = ()
    questions: Mapping[str, str] = field(default_factory=dict)


def missing_receipts(case: CaseRows, receipts: Iterable[Mapping[str, Any]]) -> Iterator[CaseEvent]:
    """Yield the events of a case that none of its receipts (decoded bodies) records."""
    recorded = {event for body in receipts for event in _recorded_events(body)}
    expected = [CaseEvent("created", case.work_item_id), CaseEvent(case.status, case.work_item_id)]
    for execution, status in case.executions.items():
        expected.append(CaseEvent("proposed", execution))
        if status in SETTLED_EXECUTIONS:
            expected.append(CaseEvent(status, execution))
    expected += [CaseEvent(f"tried (attempt {number})", execution) for execution, number in case.attempts]
    for step, status in case.steps.items():
        expected.append(CaseEvent("opened", step))
        if status in ENDED_STEPS:
            expected.append(CaseEvent(status, step))
    expected += [CaseEvent("cast", vote) for vote in case.votes]
    expected += [CaseEvent("taken", decision) for decision in case.decisions]
    expected += [CaseEvent(f"written (version {number})", comment) for comment, number in case.comments]
    expected += [CaseEvent("removed", comment) for comment in case.removed_comments]
    for question, status in case.questions.items():
        expected += [CaseEvent("open", question), CaseEvent(status, question)]
    for event in dict.fromkeys(expected):
        if event not in recorded:
            yield event


def _recorded_events(body: Mapping[str, Any]) -> Iterator[CaseEvent]:
    """Yield the events that one receipt records."""
    subject, inputs, outcome = body["subject"], body["inputs"], body["outcome"]
    noun, _, verb = body["kind"].partition(".")
    item, execution = subject.get("work_item_id"), subject.get("execution_id")
    if item:
        yield CaseEvent(subject.get("status", ""), item)
        if body["kind"] == "work_item.created":
            yield CaseEvent("created", item)
    if execution and noun == "execution":
        yield CaseEvent(verb, execution)
        yield CaseEvent(outcome.get("status", ""), execution)
        if "attempt" in inputs and verb != "executed":
            yield CaseEvent(f"tried (attempt {inputs['attempt']})", execution)
    if noun == "decision_step" and "decision_step_id" in inputs:
        yield CaseEvent("opened" if verb == "opened" else str(outcome.get("status", "")), inputs["decision_step_id"])
    if "comment_id" in inputs:
        yield CaseEvent(
            "removed" if verb == "removed" else f"written (version {inputs['version']})", inputs["comment_id"]
        )
    if "question_id" in inputs:
        yield CaseEvent(str(outcome.get("question_status", "")), inputs["question_id"])
    if "vote_id" in inputs:
        yield CaseEvent("cast", inputs["vote_id"])
    if body["kind"] == "policy.decided":
        yield CaseEvent("taken", body["policy"]["policy_decision_id"])
