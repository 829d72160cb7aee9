"""Random rulebooks and facts, and a reference evaluator that shares no code with the product."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from policies.documents.policy import parse_policy
from policies.language.evaluation import SCOPES, RulebookEntry, Verdict, compile_policy
from policies.language.facts import build_facts

NOW = datetime(2026, 11, 25, tzinfo=UTC)
EFFECTS = ("deny", "require_approval", "review", "allow")
type Truth = bool | None
"""Result of a condition; None if it fails, for example because a key is missing or a type does not match."""


@dataclass(frozen=True)
class Condition:
    """A condition in CEL with the same condition in Python."""

    source: str
    kind: str
    parts: tuple[Any, ...] = ()

    def holds(self, facts: dict[str, Any]) -> Truth:
        if self.kind in ("not", "and", "or"):
            return _joined(self.kind, [part.holds(facts) for part in self.parts])
        item = facts["item"]
        match self.kind:
            case "always":
                return bool(self.parts[0])
            case "confidence":
                return bool(item["confidence"] < self.parts[0])
            case "grouped":
                return self.parts[0] in item["requester_groups"]
            case "point":
                return bool(facts["ctx"]["point"] == self.parts[0])
            case "has":
                return self.parts[0] in item["payload"]
        return self._of_payload(item["payload"], facts["lists"])

    def _of_payload(self, payload: dict[str, Any], lists: dict[str, list[Any]]) -> Truth:
        key, wanted = self.parts
        if key not in payload:
            return None
        match self.kind:
            case "more":
                return bool(payload[key] > wanted)
            case "is":
                return bool(payload[key] == wanted)
        return payload[key] in lists[wanted]


def _joined(kind: str, matching: list[Truth]) -> Truth:
    """Join two results like CEL: a decisive side counts even if the other side fails."""
    if kind == "not":
        return None if matching[0] is None else not matching[0]
    decisive = kind == "or"
    return decisive if decisive in matching else None if None in matching else not decisive


@dataclass(frozen=True)
class RandomRulebook:
    """Policy documents, each bound to one scope."""

    bound: tuple[tuple[str, str, dict[str, Any], tuple[Condition, ...]], ...]
    """Policy, scope, spec, and conditions by rule."""

    def entries(self) -> list[RulebookEntry]:
        return [
            RulebookEntry(policy, f"pv_{policy}", scope, compile_policy(parse_policy(spec)))  # type: ignore[arg-type]
            for policy, scope, spec, _ in self.bound
        ]


@dataclass(frozen=True)
class Said:
    """The parts of a verdict that the reference evaluator computes."""

    outcome: str
    reasons: frozenset[str]
    matched: frozenset[tuple[str, str, str]] = frozenset()
    overridden: frozenset[tuple[str, str, str]] = frozenset()
    failed: frozenset[tuple[str, str]] = frozenset()
    asked: frozenset[tuple[str, int]] = frozenset()


def random_condition(rng: random.Random, *, depth: int = 2, may_fail: bool = True) -> Condition:
    if depth and rng.random() < 0.3:
        kind = rng.choice(("and", "or", "not"))
        parts = tuple(
            random_condition(rng, depth=depth - 1, may_fail=may_fail) for _ in range(1 if kind == "not" else 2)
        )
        joined = {"and": " && ", "or": " || ", "not": ""}[kind].join(f"({part.source})" for part in parts)
        return Condition(f"!{joined}" if kind == "not" else joined, kind, parts)
    kind = rng.choice(
        ("always", "has", "confidence", "grouped", "point", *(("more", "is", "listed") if may_fail else ()))
    )
    match kind:
        case "always":
            truth = rng.random() < 0.6
            return Condition(str(truth).lower(), kind, (truth,))
        case "more":
            key, limit = rng.choice("ab"), rng.randrange(4)
            return Condition(f"item.payload.{key} > {limit}", kind, (key, limit))
        case "is":
            key, text = rng.choice("st"), rng.choice(("red", "blue"))
            return Condition(f"item.payload.{key} == '{text}'", kind, (key, text))
        case "has":
            key = rng.choice("abst")
            return Condition(f"has(item.payload.{key})", kind, (key,))
        case "listed":
            key, name = rng.choice("st"), rng.choice(("warm", "cold"))
            return Condition(f"item.payload.{key} in lists.{name}", kind, (key, name))
        case "confidence":
            limit = rng.choice((0.25, 0.5, 1.0))
            return Condition(f"item.confidence < {limit}", kind, (limit,))
        case "grouped":
            group = rng.choice(("emea", "board"))
            return Condition(f"'{group}' in item.requester_groups", kind, (group,))
    point = rng.choice(("intake", "execute"))
    return Condition(f"ctx.point == '{point}'", "point", (point,))


def random_rulebook(rng: random.Random, *, may_fail: bool = True, may_override: bool = True) -> RandomRulebook:
    policies = [f"p{number}" for number in range(rng.choice((0, 1, 1, 2, 3, 4)))]
    names = [f"{policy}/r{number}" for policy in policies for number in range(4)]
    bound = []
    for policy in policies:
        conditions, rules = [], []
        for number in range(rng.randrange(1, 5)):
            condition = random_condition(rng, may_fail=may_fail)
            rules.append(random_rule(rng, f"r{number}", condition, names if may_override else []))
            conditions.append(condition)
        bound.append((policy, rng.choice(SCOPES), {"rules": rules}, tuple(conditions)))
    return RandomRulebook(tuple(bound))


def random_rule(rng: random.Random, name: str, condition: Condition, names: list[str]) -> dict[str, Any]:
    effect = rng.choice(EFFECTS)
    rule: dict[str, Any] = {"id": name, "when": condition.source, "effect": effect}
    rule["reason"] = rng.choice(("ONE", "TWO", "THREE"))
    if effect in ("require_approval", "review"):
        rule["approvals"] = {"role": rng.choice(("finance", "legal")), "count": rng.randrange(1, 3)}
    if effect != "review" and rng.random() < 0.3:
        rule["at"] = rng.choice(("intake", "execute", "both"))
    if names and rng.random() < 0.5:
        rule["overridable"] = True
    if names and rng.random() < 0.4:
        rule["overrides"] = rng.sample(names, min(2, len(names)))
    return rule


def random_facts(rng: random.Random) -> dict[str, Any]:
    payload: dict[str, Any] = {key: rng.randrange(5) for key in "ab" if rng.random() < 0.9}
    payload |= {key: rng.choice(("red", "blue", "grey")) for key in "st" if rng.random() < 0.9}
    return build_facts(
        point=rng.choice(("intake", "execute")),
        now=NOW,
        payload=payload,
        confidence=rng.choice((0.1, 0.4, 0.7, 1.0)),
        requester_groups=rng.sample(("emea", "board"), rng.randrange(3)),
        lists={"warm": ["red"], "cold": ["blue", "grey"]},
    )


def reference_verdict(rulebook: RandomRulebook, facts: dict[str, Any]) -> Said:
    """Return the reference result, rule by rule as in docs/adr/0014-overlays.md."""
    if not rulebook.bound:
        return Said("deny", frozenset({"policy_missing"}))
    matching, failed = _asked(rulebook, facts)
    if failed:
        named = frozenset((SCOPES[width], policy, rule["id"]) for width, policy, rule in matching)
        return Said("deny", frozenset({"policy_error"}), matched=named, failed=frozenset(failed))
    if not matching:
        return Said("deny", frozenset({"no_rule_matched"}))
    overridden = _overridden(matching)
    effective_rules = [rule for place, rule in enumerate(matching) if place not in overridden]
    outcome = min((rule["effect"] for _, _, rule in effective_rules), key=EFFECTS.index)
    winners = [rule for _, _, rule in effective_rules if rule["effect"] == outcome]
    asked: dict[str, int] = {}
    for rule in winners:
        if "approvals" in rule:
            role, count = rule["approvals"]["role"], rule["approvals"]["count"]
            asked[role] = max(count, asked.get(role, 0))
    named = frozenset((SCOPES[width], policy, rule["id"]) for width, policy, rule in matching)
    gone = frozenset((SCOPES[matching[place][0]], matching[place][1], matching[place][2]["id"]) for place in overridden)
    reasons = frozenset(rule["reason"] for rule in winners)
    return Said(outcome, reasons, named - gone, gone, asked=frozenset(asked.items()))


def _asked(
    rulebook: RandomRulebook, facts: dict[str, Any]
) -> tuple[list[tuple[int, str, dict[str, Any]]], set[tuple[str, str]]]:
    """Return the matched rules (scope, policy, rule) and the failed ones."""
    points = {"deny": "both", "allow": "both", "require_approval": "execute", "review": "intake"}
    matching, failed = [], set()
    for policy, scope, spec, conditions in rulebook.bound:
        for rule, condition in zip(spec["rules"], conditions, strict=True):
            if rule.get("at", points[rule["effect"]]) in ("both", facts["ctx"]["point"]):
                truth = condition.holds(facts)
                if truth is None:
                    failed.add((policy, rule["id"]))
                elif truth:
                    matching.append((SCOPES.index(scope), policy, rule))  # type: ignore[arg-type]
    return matching, failed


def _overridden(matching: list[tuple[int, str, dict[str, Any]]]) -> set[int]:
    """Return the overridden rules. Goes scope by scope, narrowest first; overridden rules override nothing."""
    gone: set[int] = set()
    for width in reversed(range(len(SCOPES))):
        for place, (at, _, rule) in enumerate(matching):
            if at != width or place in gone:
                continue
            for other, (wider, policy, named) in enumerate(matching):
                is_named = f"{policy}/{named['id']}" in rule.get("overrides", [])
                if wider < at and is_named and named.get("overridable"):
                    gone.add(other)
    return gone


def comparable(verdict: Verdict) -> Said:
    """Return the same parts of a verdict of the evaluator."""
    from policies.language.approvals import leaves_of

    leaves = leaves_of(verdict.approvals.tree) if verdict.approvals else ()
    return Said(
        str(verdict.outcome),
        frozenset(verdict.reason_codes),
        frozenset((match.scope, match.policy, match.rule) for match in verdict.matched),
        frozenset((match.scope, match.policy, match.rule) for match in verdict.overridden),
        frozenset((error.policy, error.rule) for error in verdict.errors),
        frozenset((leaf.name, leaf.count) for leaf in leaves),
    )
