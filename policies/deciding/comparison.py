"""Comparison of two answers to the same case, to show the effect of a rule change. Pure.

Compares the effect, the set of reason codes and the approval. Names of rules, their order and their duration are
ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

import orjson

from policies.language.approvals import demands, from_json, to_json, whole
from policies.language.evaluation import RuleError, Verdict
from threada_site.kernel.json.canonical import canonical_bytes

_MISSING: Final = "Key not found in map"
"""Error message of the engine for a condition that reads a key missing in the facts."""


class Asking(StrEnum):
    """Change of the approval: one appears, vanishes, or asks other or more people."""

    APPEARS = "appears"
    VANISHES = "vanishes"
    CHANGES = "changes"


class NotReplayable(StrEnum):
    """Reasons why a recorded decision cannot be replayed with another rulebook."""

    FACTS_REMOVED = "facts_removed"
    FACT_NOT_RECORDED = "fact_not_recorded"
    LIST_NOT_RECORDED = "list_not_recorded"
    SCOPE_NOT_RECORDED = "scope_not_recorded"
    VERSION_UNREADABLE = "version_unreadable"
    TOO_SLOW = "too_slow"
    EVALUATION_FAILED = "evaluation_failed"


WHY: Final[Mapping[NotReplayable, str]] = {
    NotReplayable.FACTS_REMOVED: "Retention has removed the facts.",
    NotReplayable.FACT_NOT_RECORDED: (
        "A rule reads a field that these requests did not contain. A new request without it is denied (policy_error)."
    ),
    NotReplayable.LIST_NOT_RECORDED: "A rule reads a list whose items at that time are not certain.",
    NotReplayable.SCOPE_NOT_RECORDED: "The scope on which the policy applied was not recorded.",
    NotReplayable.VERSION_UNREADABLE: "A version that was evaluated then can no longer be parsed.",
    NotReplayable.TOO_SLOW: "The rules exceeded the time limit during the replay.",
    NotReplayable.EVALUATION_FAILED: "The evaluation failed with an internal error.",
}
"""Sentences for `NotReplayable`, for display."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a rulebook. `approvals` is the stored approval rule, None if no approval is required."""

    effect: str
    reasons: tuple[str, ...]
    approvals: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        return {"effect": self.effect, "reasons": list(self.reasons), "people": people_asked(self.approvals)}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two compared answers. `is_flip`: effect or reasons differ. `people`: difference in the number of approvers."""

    before: Answer
    after: Answer
    is_flip: bool
    asking: Asking | None
    people: int


@dataclass(frozen=True, slots=True)
class Unanswerable:
    """A decision that cannot be replayed. `rules` lists the rules with missing data, as `policy/rule`."""

    why: NotReplayable
    rules: tuple[str, ...] = ()


def answer_of(verdict: Verdict) -> Answer:
    """Return the comparable part of a verdict."""
    approvals = to_json(verdict.approvals) if verdict.approvals else None
    return Answer(str(verdict.outcome), tuple(verdict.reason_codes), approvals)


def compare(before: Answer, after: Answer) -> Comparison:
    """Return the differences between two answers."""
    is_flip = before.effect != after.effect or set(before.reasons) != set(after.reasons)
    return Comparison(before, after, is_flip, _asking(before, after), _people(after) - _people(before))


def people_asked(approvals: Mapping[str, Any] | None) -> int:
    """Return the minimum number of people who must approve."""
    return 0 if approvals is None else _people_of(canonical_bytes(dict(approvals)))


def why_not(verdict: Verdict, recorded_errors: Iterable[Mapping[str, Any]] = ()) -> Unanswerable | None:
    """Return why a verdict on recorded facts cannot be compared, or None if it can.

    A missing key makes it incomparable, unless the same rules failed in the live decision (`recorded_errors`).
    """
    match verdict.reason_codes:
        case ("policy_too_slow",):
            return Unanswerable(NotReplayable.TOO_SLOW, _rules(error for error in verdict.errors if error.policy))
        case ("policy_malformed",):
            return Unanswerable(NotReplayable.VERSION_UNREADABLE, _rules(verdict.errors))
        case ("policy_error",):
            if any(not error.policy for error in verdict.errors):
                return Unanswerable(NotReplayable.EVALUATION_FAILED)
            known = {(error.get("policy"), error.get("rule")) for error in recorded_errors}
            missing = [
                error
                for error in verdict.errors
                if error.message.startswith(_MISSING) and (error.policy, error.rule) not in known
            ]
            return Unanswerable(NotReplayable.FACT_NOT_RECORDED, _rules(missing)) if missing else None
        case _:
            return None


def _rules(errors: Iterable[RuleError]) -> tuple[str, ...]:
    return tuple(sorted({f"{error.policy}/{error.rule}".removesuffix("/") for error in errors}))


def _asking(before: Answer, after: Answer) -> Asking | None:
    if before.approvals == after.approvals:
        return None
    if before.approvals is None:
        return Asking.APPEARS
    return Asking.VANISHES if after.approvals is None else Asking.CHANGES


def _people(answer: Answer) -> int:
    return people_asked(answer.approvals)


@lru_cache(maxsize=1024)
def _people_of(approvals: bytes) -> int:
    ways = demands(whole(from_json(orjson.loads(approvals)).tree))
    return min(sum(leaf.count for leaf in way) for way in ways)
