"""Comparing two answers to the same case: what a change of the rules would change. Pure.

Compared are the effect, the set of reasons, and whom an approval asks. How rules are named, in which order they matched
and how long they took is no part of the answer.
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
"""How the engine says that a condition reads a key which the facts do not hold."""


class Asking(StrEnum):
    """What becomes of the people who are asked: they are asked now, no longer, or others or more of them are."""

    APPEARS = "appears"
    VANISHES = "vanishes"
    CHANGES = "changes"


class NotReplayable(StrEnum):
    """Why what was recorded does not suffice to say what another rulebook would have answered."""

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
        "A rule reads something that these requests did not carry. A new request without it is denied (policy_error)."
    ),
    NotReplayable.LIST_NOT_RECORDED: "A rule reads a list whose items at that time are not certain.",
    NotReplayable.SCOPE_NOT_RECORDED: "It is not recorded on which scope the policy applied.",
    NotReplayable.VERSION_UNREADABLE: "A version that was asked then cannot be read any more.",
    NotReplayable.TOO_SLOW: "The rules took too long here and now; they need not have then.",
    NotReplayable.EVALUATION_FAILED: "The evaluation itself broke.",
}
"""The same for people."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a rulebook said. `approvals` is the stored form of who was asked, None where nobody was."""

    effect: str
    reasons: tuple[str, ...]
    approvals: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        return {"effect": self.effect, "reasons": list(self.reasons), "people": people_asked(self.approvals)}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers beside each other. `is_flip`: effect or reasons differ. `people`: how many more are asked."""

    before: Answer
    after: Answer
    is_flip: bool
    asking: Asking | None
    people: int


@dataclass(frozen=True, slots=True)
class Unanswerable:
    """What was recorded does not suffice. `rules` are those that would need more, as `policy/rule`."""

    why: NotReplayable
    rules: tuple[str, ...] = ()


def answer_of(verdict: Verdict) -> Answer:
    """The comparable part of a verdict."""
    approvals = to_json(verdict.approvals) if verdict.approvals else None
    return Answer(str(verdict.outcome), tuple(verdict.reason_codes), approvals)


def compare(before: Answer, after: Answer) -> Comparison:
    """What differs between two answers."""
    is_flip = before.effect != after.effect or set(before.reasons) != set(after.reasons)
    return Comparison(before, after, is_flip, _asking(before, after), _people(after) - _people(before))


def people_asked(approvals: Mapping[str, Any] | None) -> int:
    """How many people at least have to agree."""
    return 0 if approvals is None else _people_of(canonical_bytes(dict(approvals)))


def why_not(verdict: Verdict, recorded_errors: Iterable[Mapping[str, Any]] = ()) -> Unanswerable | None:
    """Why a verdict over recorded facts is no answer, or None when it is one.

    A key that is missing in them was perhaps never asked for. Where the live decision failed by the same rules
    (`recorded_errors`), it is an answer.
    """
    match verdict.reason_codes:
        case ("policy_too_slow",):
            return Unanswerable(NotReplayable.TOO_SLOW)
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
