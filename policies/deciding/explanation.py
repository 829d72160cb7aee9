"""Explanation of a decision in sentences: outcome, matched rules with conditions and facts, failures. Pure.

Everything comes from the stored decision: facts, versions, trace. Conditions are those of the evaluated versions. Data
that was erased is reported as removed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from policies.deciding.comparison import people_asked

MAX_LISTED: Final = 8
"""Maximum number of rules, and of facts per rule, that are listed."""
_LONGEST_VALUE: Final = 80
_STRINGS: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_PATH: Final = re.compile(r"\b(?:item|ctx|input)(?:\.[A-Za-z_]\w*)+")
_EFFECTS: Final = {
    "allow": "It is allowed",
    "review": "A review is required first",
    "require_approval": "An approval is required first",
    "deny": "It is denied",
}
_FAILURES: Final = {
    "policy_missing": "a policy that applies has no version in force",
    "policy_error": "a rule failed, so the request is denied",
    "policy_malformed": "a version that applies cannot be parsed",
    "policy_too_slow": "the rules exceeded the time limit",
    "no_rule_matched": "no rule matched, so the request is denied",
}
_EFFECT_VERBS: Final = {
    "allow": "allows it",
    "review": "asks for a review",
    "require_approval": "asks for an approval",
    "deny": "denies it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAnswer:
    """A stored decision. `facts` is None if they were erased. `conditions` maps version id → rule id → condition."""

    point: str
    outcome: str
    reason_codes: Sequence[str]
    matched: Sequence[Mapping[str, Any]]
    errors: Sequence[Mapping[str, Any]]
    versions: Sequence[Mapping[str, Any]]
    trace: Sequence[Mapping[str, Any]]
    approvals: Mapping[str, Any] | None
    facts: Mapping[str, Any] | None
    conditions: Mapping[str, Mapping[str, str]]
    numbers: Mapping[str, int]
    engine: str
    duration_us: int


def explain_decision(recorded: RecordedAnswer) -> list[str]:
    """Return the sentences of the explanation, outcome first."""
    return [
        *_outcome(recorded),
        *_rules(recorded),
        *_failures(recorded),
        *_non_deciding_rules(recorded),
        *_policies_evaluated(recorded),
    ]


def _outcome(recorded: RecordedAnswer) -> Iterator[str]:
    reasons = ", ".join(recorded.reason_codes)
    failure = next((_FAILURES[code] for code in recorded.reason_codes if code in _FAILURES), "")
    yield f"{_EFFECTS.get(recorded.outcome, recorded.outcome)} ({reasons})" + (f": {failure}." if failure else ".")
    people = people_asked(recorded.approvals)
    if people:
        yield f"At least {people} {'person' if people == 1 else 'people'} must agree."


def _rules(recorded: RecordedAnswer) -> Iterator[str]:
    for rule in recorded.matched[:MAX_LISTED]:
        condition = recorded.conditions.get(rule["version_id"], {}).get(rule["rule"])
        name = f"Rule {rule['rule']} of {_version(recorded, rule)}"
        because = f" because {condition} is true" if condition and condition != "true" else ""
        always = " in every case" if condition == "true" else ""
        yield f"{name} {_EFFECT_VERBS.get(rule['effect'], rule['effect'])}{always}{because} ({rule['reason']})."
        if condition:
            facts = _facts_read(condition, recorded.facts)
            if facts:
                yield f"Facts: {'; '.join(facts)}."
        if rule.get("message"):
            yield f"Message of the rule: {rule['message']}"
    if len(recorded.matched) > MAX_LISTED:
        yield f"{len(recorded.matched) - MAX_LISTED} more rules say the same."


def _failures(recorded: RecordedAnswer) -> Iterator[str]:
    for error in recorded.errors[:MAX_LISTED]:
        where = (
            f"Rule {error['rule']} of {error['policy']}" if error.get("rule") else error.get("policy") or "The engine"
        )
        yield f"{where} failed: {error['message']}"


def _non_deciding_rules(recorded: RecordedAnswer) -> Iterator[str]:
    """Yield sentences about matched rules that did not decide: overridden rules and rules with a weaker effect."""
    deciding = {(rule["policy"], rule["rule"]) for rule in recorded.matched}
    overridden = [f"{row['policy']}/{rule}" for row in recorded.trace for rule in row.get("overridden", ())]
    weaker = [
        f"{row['policy']}/{rule}"
        for row in recorded.trace
        for rule in row.get("matched", ())
        if (row["policy"], rule) not in deciding and f"{row['policy']}/{rule}" not in overridden
    ]
    if overridden:
        yield f"Overridden by a narrower rule: {_listed(overridden)}."
    if weaker and recorded.matched:
        yield f"Also matched, with a less strict effect: {_listed(weaker)}."
    elif weaker:
        yield f"Matched without effect: {_listed(weaker)}."


def _policies_evaluated(recorded: RecordedAnswer) -> Iterator[str]:
    asked = [_version(recorded, row) for row in recorded.versions if row["version_id"]]
    without = [row["policy"] for row in recorded.versions if not row["version_id"]]
    looked_at = sum(len(row.get("looked_at", ())) for row in recorded.trace)
    item = recorded.facts.get("item", {}) if recorded.facts else {}
    place = f" of {item['workflow']}" if item.get("workflow") else ""
    place += f", from {item['channel']}" if item.get("channel") else ""
    if asked:
        yield f"Evaluated at {recorded.point}{place}: {_listed(asked)}; {looked_at} rules were evaluated."
    else:
        yield f"Evaluated at {recorded.point}{place}: no policy applied."
    if without:
        yield f"Without a version in force: {_listed(without)}."
    if recorded.facts is None:
        yield "Retention has removed the facts."
    yield f"{recorded.engine} took {recorded.duration_us} µs."


def _version(recorded: RecordedAnswer, row: Mapping[str, Any]) -> str:
    number = recorded.numbers.get(row["version_id"])
    on = ", ".join(row.get("on") or ())
    scope = f" on {row['scope']} {on}".rstrip() if row.get("scope") else ""
    return f"{row['policy']}{f' version {number}' if number else ''}{scope}"


def _facts_read(condition: str, facts: Mapping[str, Any] | None) -> list[str]:
    """Return `path is value` for each scalar fact that a condition reads; empty if the facts were erased."""
    if facts is None:
        return []
    paths = dict.fromkeys(_PATH.findall(_STRINGS.sub("''", condition)))
    found = []
    for path in paths:
        value: Any = facts
        for name in path.split("."):
            if not isinstance(value, Mapping) or name not in value:
                break
            value = value[name]
        else:
            if not isinstance(value, Mapping):
                found.append(f"{path} is {_short(value)}")
    return found[:MAX_LISTED]


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
