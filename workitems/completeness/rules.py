"""Which receipts a case must have, from the rows it consists of. Pure.

A receipt that was deleted before it was sealed is in no tree; but the row of the act it is about is still there, and
says that it must have been.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

ENDED_STEPS: Final = frozenset({"approved", "rejected", "expired", "cancelled", "superseded"})
SETTLED_EXECUTIONS: Final = frozenset({"succeeded", "failed", "outcome_unknown", "rejected", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happened to a case: `what` of the row `of` (a public id)."""

    what: str
    of: str

    def __str__(self) -> str:
        return f"{self.of}: there is no receipt that says it was {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRows:
    """A case as its rows have it, by public ids."""

    work_item_id: str
    status: str
    executions: Mapping[str, str]
    attempts: Iterable[tuple[str, int]]
    steps: Mapping[str, str]
    votes: Iterable[str]
    decisions: Iterable[str]


def missing_receipts(case: CaseRows, receipts: Iterable[Mapping[str, Any]]) -> Iterator[Act]:
    """The acts of a case that none of its receipts (decoded bodies) tells of.

    `attempts` are those with an outcome: (execution, number).
    """
    told = {fact for body in receipts for fact in _facts(body)}
    acts = [Act("created", case.work_item_id), Act(case.status, case.work_item_id)]
    for execution, status in case.executions.items():
        acts.append(Act("proposed", execution))
        if status in SETTLED_EXECUTIONS:
            acts.append(Act(status, execution))
    acts += [Act(f"tried (attempt {number})", execution) for execution, number in case.attempts]
    for step, status in case.steps.items():
        acts.append(Act("opened", step))
        if status in ENDED_STEPS:
            acts.append(Act(status, step))
    acts += [Act("cast", vote) for vote in case.votes]
    acts += [Act("taken", decision) for decision in case.decisions]
    for act in dict.fromkeys(acts):
        if act not in told:
            yield act


def _facts(body: Mapping[str, Any]) -> Iterator[Act]:
    """What one receipt tells."""
    subject, inputs, outcome = body["subject"], body["inputs"], body["outcome"]
    noun, _, verb = body["kind"].partition(".")
    item, execution = subject.get("work_item_id"), subject.get("execution_id")
    if item:
        yield Act(subject.get("status", ""), item)
        if body["kind"] == "work_item.created":
            yield Act("created", item)
    if execution and noun == "execution":
        yield Act(verb, execution)
        yield Act(outcome.get("status", ""), execution)
        if "attempt" in inputs and verb != "executed":
            yield Act(f"tried (attempt {inputs['attempt']})", execution)
    if noun == "decision_step" and "decision_step_id" in inputs:
        yield Act("opened" if verb == "opened" else str(outcome.get("status", "")), inputs["decision_step_id"])
    if "vote_id" in inputs:
        yield Act("cast", inputs["vote_id"])
    if body["kind"] == "policy.decided":
        yield Act("taken", body["policy"]["policy_decision_id"])
