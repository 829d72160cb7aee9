"""Messages between this process and an evaluator: JSON for rules, questions and verdicts. Imports no Django.

Both directions are exact: a verdict that has crossed the pipe equals the one that was computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

from policies.language.approvals import ApprovalRule, from_json, to_json
from policies.language.approvals.stages import tree_from_json, tree_to_json
from policies.language.evaluation import MatchedRule, RulebookEntry, RuleError, Scope, Verdict
from policies.language.facts import Point
from policies.language.rules import Effect, PolicyTest, Rule

HEAD_BYTES: Final = 4
"""Each message is preceded by its length, in network byte order."""
MOST_BYTES: Final = 256 * 1024 * 1024

type Message = dict[str, Any]


def rule_json(rule: Rule) -> Message:
    """Return a rule for `rule_from_json`."""
    return {
        "id": rule.id,
        "when": rule.when,
        "effect": rule.effect.value,
        "at": sorted(rule.at),
        "reason": rule.reason,
        "message": rule.message,
        "approvals": _approvals_json(rule.approvals),
        "overrides": rule.overrides,
        "overridable": rule.overridable,
    }


def rule_from_json(value: Message) -> Rule:
    """Return the rule that `rule_json` serialized."""
    return Rule(
        id=value["id"],
        when=value["when"],
        effect=Effect(value["effect"]),
        at=frozenset(map(Point, value["at"])),
        reason=value["reason"],
        message=value["message"],
        approvals=_approvals_from_json(value["approvals"]),
        overrides=tuple(value["overrides"]),
        overridable=value["overridable"],
    )


def policy_test_json(test: PolicyTest) -> Message:
    """Return a test of a document for `policy_test_from_json`."""
    return {
        "given": test.given,
        "effect": test.effect.value,
        "reason": test.reason,
        "pointer": test.pointer,
        "name": test.name,
    }


def policy_test_from_json(value: Message) -> PolicyTest:
    """Return the test that `policy_test_json` serialized."""
    return PolicyTest(**{**value, "effect": Effect(value["effect"])})


def entry_json(entry: RulebookEntry, key: int | None) -> list[Any]:
    """Return an entry whose policy the evaluator knows by `key`; None if the version cannot be parsed."""
    return [entry.policy, entry.version_id, entry.scope, key, list(entry.on)]


def entries_from_json(rows: Sequence[Any], policies: Mapping[int, Any]) -> list[RulebookEntry]:
    """Return the entries that `entry_json` serialized, with their policies."""
    return [
        RulebookEntry(policy, version_id, scope, None if key is None else policies[key], tuple(on))
        for policy, version_id, scope, key, on in rows
    ]


def verdict_json(verdict: Verdict) -> Message:
    """Return a verdict for `verdict_from_json`."""
    return {
        "outcome": verdict.outcome.value,
        "reason_codes": verdict.reason_codes,
        "matched": [_match_json(match) for match in verdict.matched],
        "overridden": [_match_json(match) for match in verdict.overridden],
        "errors": [[error.policy, error.rule, error.message] for error in verdict.errors],
        "approvals": _approvals_json(verdict.approvals),
        "trace": verdict.trace,
        "engine": verdict.engine,
        "duration_us": verdict.duration_us,
    }


def verdict_from_json(value: Message) -> Verdict:
    """Return the verdict that `verdict_json` serialized. Raises `KeyError`, `TypeError` or `ValueError` for others."""
    return Verdict(
        outcome=Effect(value["outcome"]),
        reason_codes=tuple(map(_text, value["reason_codes"])),
        matched=tuple(map(_match_from_json, value["matched"])),
        overridden=tuple(map(_match_from_json, value["overridden"])),
        errors=tuple(RuleError(*map(_text, error)) for error in value["errors"]),
        approvals=_approvals_from_json(value["approvals"]),
        trace=[dict(entry) for entry in value["trace"]],
        engine=_text(value["engine"]),
        duration_us=int(value["duration_us"]),
    )


def _match_json(match: MatchedRule) -> list[Any]:
    named = [match.policy, match.version_id, match.rule, match.effect.value, match.reason, match.scope]
    return [*named, match.message]


def _match_from_json(value: Sequence[Any]) -> MatchedRule:
    policy, version_id, rule, effect, reason, scope, message = value
    found = map(_text, (policy, version_id, rule, reason))
    policy, version_id, rule, reason = found
    return MatchedRule(policy, version_id, rule, Effect(effect), reason, cast("Scope", _text(scope)), message)


def _approvals_json(rule: ApprovalRule | None) -> Message | None:
    """Return the approvals with their tree as it is: `to_json` alone writes the canonical tree."""
    return None if rule is None else {"tree": tree_to_json(rule.tree), "rest": to_json(rule)}


def _approvals_from_json(value: Message | None) -> ApprovalRule | None:
    if value is None:
        return None
    return replace(from_json(value["rest"]), tree=tree_from_json(value["tree"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is expected")
    return value
