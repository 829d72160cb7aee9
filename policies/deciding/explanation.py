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
from threada_site.kernel.sentences import Sentence, marked, sentence, sentence_list, sentence_of_number, stored_sentence

MAX_LISTED: Final = 8
"""Maximum number of rules, and of facts per rule, that are listed."""
_LONGEST_VALUE: Final = 80
_STRINGS: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_PATH: Final = re.compile(r"\b(?:item|ctx|input)(?:\.[A-Za-z_]\w*)+")
_EFFECTS: Final = {
    "allow": marked("It is allowed"),
    "review": marked("A review is required first"),
    "require_approval": marked("An approval is required first"),
    "deny": marked("It is denied"),
}
_FAILURES: Final = {
    "policy_missing": marked("a policy that applies has no version in force"),
    "policy_error": marked("a rule failed, so the request is denied"),
    "policy_malformed": marked("a version that applies cannot be parsed"),
    "policy_too_slow": marked("the rules exceeded the time limit"),
    "no_rule_matched": marked("no rule matched, so the request is denied"),
}
_RULES: Final = {
    "allow": marked("Rule {rule} of {version} allows it{because} ({reason})."),
    "review": marked("Rule {rule} of {version} asks for a review{because} ({reason})."),
    "require_approval": marked("Rule {rule} of {version} asks for an approval{because} ({reason})."),
    "deny": marked("Rule {rule} of {version} denies it{because} ({reason})."),
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


def people_sentence(approvals: Mapping[str, Any] | None) -> str:
    """Return a sentence with the minimum number of approvers, or "" if no approval is required."""
    people = people_asked(approvals)
    if not people:
        return ""
    return sentence_of_number("At least {number} person must agree.", "At least {number} people must agree.", people)


def _outcome(recorded: RecordedAnswer) -> Iterator[str]:
    reasons = ", ".join(recorded.reason_codes)
    failure = next((_FAILURES[code] for code in recorded.reason_codes if code in _FAILURES), "")
    effect = stored_sentence(_EFFECTS.get(recorded.outcome, recorded.outcome))
    if failure:
        yield sentence("{effect} ({reasons}): {why}.", effect=effect, reasons=reasons, why=stored_sentence(failure))
    else:
        yield sentence("{effect} ({reasons}).", effect=effect, reasons=reasons)
    people = people_sentence(recorded.approvals)
    if people:
        yield people


def _rules(recorded: RecordedAnswer) -> Iterator[str]:
    for rule in recorded.matched[:MAX_LISTED]:
        condition = recorded.conditions.get(rule["version_id"], {}).get(rule["rule"])
        because: str = sentence(" because {condition} is true", condition=condition) if condition else ""
        if condition == "true":
            because = sentence(" in every case")
        template = _RULES.get(rule["effect"], _RULES["deny"])
        version = _version(recorded, rule)
        yield sentence(template, rule=rule["rule"], version=version, because=because, reason=rule["reason"])
        if condition:
            facts = _facts_read(condition, recorded.facts)
            if facts:
                yield sentence("Facts: {facts}.", facts=sentence_list(facts, "; "))
        if rule.get("message"):
            yield sentence("Message of the rule: {message}", message=rule["message"])
    more = len(recorded.matched) - MAX_LISTED
    if more > 0:
        yield sentence_of_number("{number} more rule says the same.", "{number} more rules say the same.", more)


def _failures(recorded: RecordedAnswer) -> Iterator[str]:
    for error in recorded.errors[:MAX_LISTED]:
        where: str = error.get("policy") or sentence("The engine")
        if error.get("rule"):
            where = sentence("Rule {rule} of {version}", rule=error["rule"], version=error["policy"])
        yield sentence("{where} failed: {message}", where=where, message=error["message"])


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
        yield sentence("Overridden by a narrower rule: {rules}.", rules=_listed(overridden))
    if weaker and recorded.matched:
        yield sentence("Also matched, with a less strict effect: {rules}.", rules=_listed(weaker))
    elif weaker:
        yield sentence("Matched without effect: {rules}.", rules=_listed(weaker))


def _policies_evaluated(recorded: RecordedAnswer) -> Iterator[str]:
    asked = [_version(recorded, row) for row in recorded.versions if row["version_id"]]
    without = [row["policy"] for row in recorded.versions if not row["version_id"]]
    looked_at = sum(len(row.get("looked_at", ())) for row in recorded.trace)
    item = recorded.facts.get("item", {}) if recorded.facts else {}
    workflow: str = sentence(" of {name}", name=item["workflow"]) if item.get("workflow") else ""
    channel: str = sentence(", from {name}", name=item["channel"]) if item.get("channel") else ""
    place = sentence("{point}{workflow}{channel}", point=recorded.point, workflow=workflow, channel=channel)
    if asked:
        yield sentence_of_number(
            "Evaluated at {place}: {policies}; {number} rule was evaluated.",
            "Evaluated at {place}: {policies}; {number} rules were evaluated.",
            looked_at,
            place=place,
            policies=_listed(asked),
        )
    else:
        yield sentence("Evaluated at {place}: no policy applied.", place=place)
    if without:
        yield sentence("Without a version in force: {policies}.", policies=_listed(without))
    if recorded.facts is None:
        yield sentence("Retention has removed the facts.")
    yield sentence("{engine} took {duration} µs.", engine=recorded.engine, duration=recorded.duration_us)


def _version(recorded: RecordedAnswer, row: Mapping[str, Any]) -> Sentence:
    number = recorded.numbers.get(row["version_id"])
    on = ", ".join(row.get("on") or ())
    version: str = sentence(" version {number}", number=number) if number else ""
    scope: str = ""
    if row.get("scope"):
        kind = stored_sentence(row["scope"])
        scope = sentence(" on {kind} {names}", kind=kind, names=on) if on else sentence(" on {kind}", kind=kind)
    return sentence("{policy}{version}{scope}", policy=row["policy"], version=version, scope=scope)


def _facts_read(condition: str, facts: Mapping[str, Any] | None) -> list[str]:
    """Return `path is value` for each scalar fact that a condition reads; empty if the facts were erased."""
    if facts is None:
        return []
    paths = dict.fromkeys(_PATH.findall(_STRINGS.sub("''", condition)))
    found: list[str] = []
    for path in paths:
        value: Any = facts
        for name in path.split("."):
            if not isinstance(value, Mapping) or name not in value:
                break
            value = value[name]
        else:
            if not isinstance(value, Mapping):
                found.append(sentence("{path} is {value}", path=path, value=_short(value)))
    return found[:MAX_LISTED]


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MAX_LISTED
    listed = sentence_list(names[:MAX_LISTED], ", ")
    return sentence("{names} and {more} more", names=listed, more=more) if more > 0 else listed
