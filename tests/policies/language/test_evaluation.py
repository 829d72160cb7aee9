from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.documents.policy import parse_policy
from policies.language.approvals import REVIEW_DEFAULT, AllOf, Leaf, merge, parse_approvals
from policies.language.evaluation import (
    SCOPES,
    CompiledPolicy,
    RulebookEntry,
    RuleError,
    Scope,
    Verdict,
    compile_policy,
    evaluate,
)
from policies.language.facts import Point, build_facts
from policies.language.rules import Effect, PolicyDocument, Rule
from tests.examples import examples
from threada_site.kernel.cel import ENGINE, MAX_COST
from threada_site.kernel.errors import REASONS, PolicyDocumentInvalid

NOW = datetime(2026, 1, 31, tzinfo=UTC)
FINANCE = {"role": "finance", "count": 2}


def rule(name: str, when: str = "true", effect: str = "allow", **fields: Any) -> dict[str, Any]:
    approvals = {"approvals": FINANCE} if effect == "require_approval" else {}
    reason = f"{name.upper().replace('-', '_'):_<2}"
    return {"id": name, "when": when, "effect": effect, "reason": reason} | approvals | fields


def entry(*rules: dict[str, Any], policy: str = "payments", scope: Scope = "tenant") -> RulebookEntry:
    return RulebookEntry(policy, f"pv_{policy}", scope, compile_policy(parse_policy({"rules": list(rules)})))


def decide(*entries: RulebookEntry, point: str = "intake", **facts: Any) -> Verdict:
    return evaluate(entries, build_facts(point=point, now=NOW, **facts))


def said(verdict: Verdict) -> tuple[str, tuple[str, ...]]:
    return verdict.outcome.value, verdict.reason_codes


class TestCombination:
    def test_the_strictest_effect_wins_with_its_reasons(self) -> None:
        effects = ["allow", "review", "require_approval", "deny"]
        for chosen in itertools.chain.from_iterable(itertools.combinations(effects, n) for n in (1, 2, 3, 4)):
            at = {"review": "intake", "require_approval": "intake"}
            rules = [
                rule(f"r-{effect.replace('_', '-')}", effect=effect, at=at.get(effect, "both")) for effect in chosen
            ]
            strictest = max(chosen, key=effects.index)
            assert said(decide(entry(*rules))) == (strictest, (f"R_{strictest.upper()}",))

    def test_reasons_are_unique_and_ordered_by_scope(self) -> None:
        verdict = decide(
            entry(rule("z", effect="deny"), rule("a", effect="deny"), policy="p", scope="channel"),
            entry(rule("y", effect="deny"), rule("b", effect="deny", reason="A_"), policy="q", scope="tenant"),
            entry(rule("x", effect="deny"), rule("allowed"), policy="a", scope="workflow"),
        )
        assert said(verdict) == ("deny", ("A_", "Y_", "X_", "Z_"))
        assert [(match.scope, match.policy, match.rule) for match in verdict.matched] == [
            ("tenant", "q", "b"),
            ("tenant", "q", "y"),
            ("workflow", "a", "allowed"),
            ("workflow", "a", "x"),
            ("channel", "p", "a"),
            ("channel", "p", "z"),
        ]

    def test_rules_are_evaluated_only_at_their_point(self) -> None:
        book = entry(
            rule("approve", effect="require_approval"),
            rule("look", effect="review"),
            rule("in", at="intake"),
            rule("out", "item.missing", effect="deny", at="execute"),
        )
        verdict = decide(book)
        assert said(verdict) == ("review", ("LOOK",))
        assert verdict.trace == [
            {
                "policy": "payments",
                "version_id": "pv_payments",
                "scope": "tenant",
                "looked_at": ["look", "in"],
                "matched": ["look", "in"],
                "failed": [],
            }
        ]
        assert said(decide(book, point="execute", action="pay")) == ("deny", ("policy_error",))

    def test_matched_rule_names_its_position(self) -> None:
        [match] = decide(entry(rule("r", message="Fine."), scope="workflow")).matched
        assert (match.policy, match.version_id, match.rule, match.effect, match.reason, match.scope, match.message) == (
            "payments",
            "pv_payments",
            "r",
            Effect.ALLOW,
            "R_",
            "workflow",
            "Fine.",
        )

    def test_a_verdict_contains_engine_and_duration(self) -> None:
        verdict = decide(entry(rule("r")))
        assert verdict.engine == ENGINE
        assert 0 < verdict.duration_us < 1_000_000


class TestApprovals:
    def test_approvals_of_all_winning_rules_are_merged(self) -> None:
        verdict = decide(
            entry(
                rule("one", effect="require_approval", approvals={"role": "finance", "count": 2, "exclude": []}),
                rule(
                    "two",
                    effect="require_approval",
                    approvals={"role": "legal", "exclude": ["last_editor"], "expires_after": "P3D"},
                ),
                rule("three", "false", effect="require_approval", approvals={"role": "risk"}),
                rule("fine"),
            ),
            entry(
                rule("four", effect="require_approval", approvals={"role": "finance", "expires_after": "P2D"}),
                policy="base",
                scope="channel",
            ),
            point="execute",
        )
        assert said(verdict) == ("require_approval", ("ONE", "TWO", "FOUR"))
        assert verdict.approvals is not None
        assert verdict.approvals.tree == AllOf((Leaf("role", "finance", 2), Leaf("role", "legal", 1)))
        assert verdict.approvals.exclude == {"requester", "last_editor", "agent_owner"}
        assert verdict.approvals.expires_after == timedelta(days=2)

    def test_approvals_of_a_single_rule_are_unchanged(self) -> None:
        verdict = decide(entry(rule("one", effect="require_approval")), point="execute")
        assert verdict.approvals == parse_approvals(FINANCE, pointer="")

    def test_a_review_without_approvals_uses_the_default(self) -> None:
        assert decide(entry(rule("one", effect="review"))).approvals == REVIEW_DEFAULT
        own = parse_approvals({"role": "legal"}, pointer="")
        both = entry(rule("one", effect="review"), rule("two", effect="review", approvals={"role": "legal"}))
        assert decide(both).approvals == merge([REVIEW_DEFAULT, own])

    @pytest.mark.parametrize("effect", ["allow", "deny"])
    def test_other_effects_have_no_approvals(self, effect: str) -> None:
        assert decide(entry(rule("one", effect=effect), rule("two", effect="allow"))).approvals is None

    def test_approvals_that_cannot_be_merged_deny(self) -> None:
        rules = [
            rule(
                f"r{number}",
                effect="require_approval",
                approvals={"any": [{"role": f"a{number}{letter}"} for letter in "abcdefgh"]},
            )
            for number in range(8)
        ]
        verdict = decide(entry(*rules), point="execute")
        assert said(verdict) == ("deny", ("policy_error",))
        assert {error.rule for error in verdict.errors} == {f"r{number}" for number in range(8)}


class TestFailures:
    def test_no_policy(self) -> None:
        assert said(decide()) == ("deny", ("policy_missing",))

    def test_no_match(self) -> None:
        verdict = decide(entry(rule("r", "false")), entry(policy="empty"))
        assert said(verdict) == ("deny", ("no_rule_matched",))
        assert verdict.matched == ()

    def test_an_unreadable_version(self) -> None:
        verdict = decide(entry(rule("r")), RulebookEntry("broken", "pv_1", "channel", None))
        assert said(verdict) == ("deny", ("policy_malformed",))
        assert verdict.errors == (RuleError("broken", "", "pv_1 cannot be read."),)

    @pytest.mark.parametrize(
        ("when", "message"),
        [
            ("item.payload.missing == 1", 'Key not found in map : "missing"'),
            ("item.payload.vendor > 1", "No matching overloads found : _>_(string, int64)"),
            ("item.payload.vendor", "It must say true or false, and says string."),
            ("item.payload.vendor in lists.unknown", 'Key not found in map : "unknown"'),
            ("1 / 0 == 1", "divide by zero"),
        ],
    )
    def test_a_failing_rule_denies_and_is_reported(self, when: str, message: str) -> None:
        book = [entry(rule("fine"), rule("bad", when, effect="review"), rule("late", "false"))]
        verdict = decide(*book, entry(rule("other"), policy="other"), payload={"vendor": "x"})
        assert said(verdict) == ("deny", ("policy_error",))
        assert verdict.errors == (RuleError("payments", "bad", message),)
        assert verdict.trace[0]["failed"] == ["bad"]
        assert [match.rule for match in verdict.matched] == ["other", "fine"]
        assert verdict.approvals is None

    def test_every_failing_rule_is_reported(self) -> None:
        verdict = decide(entry(rule("one", "item.a == 1"), rule("two", "item.b == 1", effect="deny")))
        assert [error.rule for error in verdict.errors] == ["one", "two"]

    def test_too_slow(self) -> None:
        facts = build_facts(point="intake", now=NOW)
        verdict = evaluate([entry(rule("r"))], facts, cpu_limit=-1.0)
        assert said(verdict) == ("deny", ("policy_too_slow",))

    def test_time_is_checked_between_rules(self) -> None:
        text = {"text": "a" * 250_000}
        slow = "[0,1,2,3,4,5,6,7,8,9].all(a, [0,1,2,3,4,5,6,7,8,9].all(b, size(item.payload.text) > 0))"
        rules = [rule(f"r{number}", f"{slow} || item.missing{number}") for number in range(300)]
        facts = build_facts(point="intake", now=NOW, payload=text)
        verdict = evaluate([entry(*rules)], facts, cpu_limit=0.05)
        assert said(verdict) == ("deny", ("policy_too_slow",))

    @pytest.mark.parametrize("effect", ["allow", "deny"])
    def test_time_is_checked_after_the_last_rule(self, effect: str) -> None:
        digits = "[0,1,2,3,4,5,6,7,8,9]"
        slow = f"{digits}.all(a, {digits}.all(b, {digits}.all(c, size(item.payload.text) > 0)))"
        facts = build_facts(point="intake", now=NOW, payload={"text": "a" * 100_000})
        alone = [entry(rule("slow", slow, effect))]
        last = [entry(rule("fast"), policy="other"), entry(rule("fast"), rule("slow", slow, effect))]
        for book in (alone, last):
            verdict = evaluate(book, facts, cpu_limit=0.02)
            assert said(verdict) == ("deny", ("policy_too_slow",))
            assert verdict.trace[-1]["matched"][-1:] == ["slow"]

    def test_cpu_time_is_asked_for_once_while_less_than_the_limit_has_passed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[float] = []
        monkeypatch.setattr(time, "thread_time", lambda: asked.append(0.0) or 0.0)
        assert said(evaluate([entry(rule("fast"))], build_facts(point="intake", now=NOW)))[0] == "allow"
        assert len(asked) == 1
        evaluate([entry(rule("fast"))], build_facts(point="intake", now=NOW), cpu_limit=0.0)
        assert len(asked) > 2

    def test_a_rule_that_could_hold_the_process_denies_and_is_named(self) -> None:
        alike = " && ".join(["item.payload.xs == item.payload.xs"] * 80)
        slow = rule("slow", f"item.payload.xs.all(x, {alike})")
        book = entry(rule("fast"), slow, rule("late"))
        few = decide(book, payload={"xs": list(range(20))})
        assert said(few) == ("allow", ("FAST", "LATE", "SLOW"))
        began = time.thread_time()
        verdict = decide(book, payload={"xs": list(range(1000))})
        assert time.thread_time() - began < 1
        assert said(verdict) == ("deny", ("policy_too_slow",))
        (error,) = verdict.errors
        assert (error.policy, error.rule) == ("payments", "slow")
        assert "2,500,000 are allowed" in error.message

    def test_conditions_evaluated_together_cannot_hold_the_process(self) -> None:
        """Twenty conditions that are cheap enough alone, for a payload of a few megabytes."""
        rules = [rule(f"r{number}", f"item.payload.a == item.payload.b && {number} >= 0") for number in range(20)]
        batches = compile_policy(parse_policy({"rules": rules})).batches[Point.INTAKE]
        assert max(sum(condition.cost for condition in batch.conditions) for batch in batches) <= MAX_COST
        numbers = list(range(700_000))
        verdict = decide(entry(*rules), payload={"a": numbers, "b": numbers})
        assert said(verdict) == ("deny", ("policy_too_slow",))

    def test_a_condition_that_does_not_compile_is_refused(self) -> None:
        broken = Rule(id="r", when="1 +", effect=Effect.ALLOW, at=frozenset(), reason="R")
        with pytest.raises(PolicyDocumentInvalid):
            compile_policy(PolicyDocument(None, (broken,)))

    def test_every_code_is_registered(self) -> None:
        codes = {"policy_missing", "policy_error", "policy_malformed", "policy_too_slow", "no_rule_matched"}
        assert codes <= REASONS.keys()

    def test_loops_that_cannot_be_batched_are_evaluated_one_by_one(self) -> None:
        rules = [rule(f"r{number}", "item.payload.list.all(x, x >= 0)") for number in range(3)]
        verdict = decide(entry(*rules), payload={"list": list(range(4000))})
        assert said(verdict) == ("allow", ("R0", "R1", "R2"))


class TestOverrides:
    BASE = rule("strict", effect="review", overridable=True)

    def overridden(
        self, base: dict[str, Any], *, wide: Scope, narrow: Scope, **fields: Any
    ) -> tuple[str, tuple[str, ...]]:
        loose = rule("loose", **{"overrides": ["base/strict"]} | fields)
        verdict = decide(entry(base, policy="base", scope=wide), entry(loose, policy="local", scope=narrow))
        return said(verdict)

    def test_a_narrower_rule_overrides_a_named_overridable_rule(self) -> None:
        base, local = entry(self.BASE, policy="base"), rule("loose", overrides=["base/strict"])
        verdict = decide(base, entry(local, policy="local", scope="workflow"))
        assert said(verdict) == ("allow", ("LOOSE",))
        assert [match.rule for match in verdict.matched] == ["loose"]
        assert [(match.policy, match.rule) for match in verdict.overridden] == [("base", "strict")]

    def test_only_from_a_narrower_scope(self) -> None:
        for wide, narrow in itertools.product(SCOPES, repeat=2):
            allowed = SCOPES.index(wide) < SCOPES.index(narrow)
            expected = ("allow", ("LOOSE",)) if allowed else ("review", ("STRICT",))
            assert self.overridden(self.BASE, wide=wide, narrow=narrow) == expected

    def test_only_overridable_rules(self) -> None:
        strict = rule("strict", effect="review")
        assert self.overridden(strict, wide="tenant", narrow="channel") == ("review", ("STRICT",))

    def test_only_named_rules(self) -> None:
        for name in ("base/other", "other/strict", "local/strict"):
            assert self.overridden(self.BASE, wide="tenant", narrow="channel", overrides=[name])[0] == "review"

    def test_only_if_the_overriding_rule_matches(self) -> None:
        assert self.overridden(self.BASE, wide="tenant", narrow="channel", when="false")[0] == "review"

    def test_a_narrower_rule_can_always_tighten(self) -> None:
        verdict = decide(entry(rule("a")), entry(rule("b", effect="deny"), policy="local", scope="group"))
        assert said(verdict) == ("deny", ("B_",))

    def test_an_overridden_rule_overrides_nothing(self) -> None:
        verdict = decide(
            entry(self.BASE, policy="base"),
            entry(rule("mid", overrides=["base/strict"], overridable=True), policy="mid", scope="workflow"),
            entry(rule("end", overrides=["mid/mid"]), policy="end", scope="channel"),
        )
        assert said(verdict) == ("review", ("STRICT",))
        assert [match.rule for match in verdict.overridden] == ["mid"]

    def test_a_policy_in_two_scopes_is_overridden_only_in_the_wider(self) -> None:
        base = entry(self.BASE, policy="base").document
        loose = entry(rule("loose", overrides=["base/strict"]), policy="local", scope="workflow")
        wide, narrow = (RulebookEntry("base", "pv_b", scope, base) for scope in ("tenant", "workflow"))
        assert said(decide(wide, loose)) == ("allow", ("LOOSE",))
        assert said(decide(wide, narrow, loose)) == ("review", ("STRICT",))

    def test_a_failing_rule_denies_even_if_overridden(self) -> None:
        failing = rule("strict", "item.missing", effect="review", overridable=True)
        assert self.overridden(failing, wide="tenant", narrow="channel") == ("deny", ("policy_error",))


def test_compiled_lists_are_those_that_the_rules_read() -> None:
    def lists(*conditions: str) -> frozenset[str] | None:
        return entry(*(rule(f"r{i}", when) for i, when in enumerate(conditions))).document.lists  # type: ignore[union-attr]

    assert lists("item.id in lists.a", "true", "item.id in lists.b") == {"a", "b"}
    assert lists("true") == frozenset()
    assert lists("item.id in lists.a", "lists.size() > 0") is None


# Against a naive evaluator --------------------------------------------------------------------------------------------

type Payload = dict[str, Any]


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def settled_by(decisive: bool, *parts: Callable[[Payload], bool]) -> Callable[[Payload], bool]:
    """`||` (True) and `&&` (False) in CEL: one decisive part determines the result even if others fail."""

    def combined(payload: Payload) -> bool:
        failures: list[Exception] = []
        for part in parts:
            try:
                if boolean(part(payload)) is decisive:
                    return decisive
            except (KeyError, TypeError) as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return not decisive

    return combined


CONDITIONS: dict[str, Callable[[Payload], bool]] = {
    "true": lambda payload: True,
    "false": lambda payload: False,
    "item.payload.a > 1": lambda payload: payload["a"] > 1,
    "item.payload.b == 'x'": lambda payload: payload["b"] == "x",
    "has(item.payload.c)": lambda payload: "c" in payload,
    "item.payload.c": lambda payload: boolean(payload["c"]),
    "item.payload.a + item.payload.a >= 4 && item.payload.b in lists.l": settled_by(
        False, lambda payload: payload["a"] * 2 >= 4, lambda payload: payload["b"] in ("x", "y")
    ),
    "item.payload.c || item.payload.a == 0": settled_by(
        True, lambda payload: payload["c"], lambda payload: payload["a"] == 0
    ),
}
POINTS = {"intake": {"intake"}, "execute": {"execute"}, "both": {"intake", "execute"}}
DEFAULTS = {"deny": "both", "allow": "both", "review": "intake", "require_approval": "execute"}
STRICTNESS = ["allow", "review", "require_approval", "deny"]

type Written = tuple[str, Scope, list[dict[str, Any]]]


def naive(book: Sequence[Written], point: str, payload: Payload) -> tuple[str, set[str]]:
    """Combine rules as documented, without optimization."""
    if not book:
        return "deny", {"policy_missing"}
    try:
        matched = [
            (SCOPES.index(scope), policy, written)
            for policy, scope, rules in book
            for written in rules
            if point in POINTS[written.get("at", DEFAULTS[written["effect"]])]
            if CONDITIONS[written["when"]](payload)
        ]
    except (KeyError, TypeError):
        return "deny", {"policy_error"}
    holding = naively_holding(matched)
    if not holding:
        return "deny", {"no_rule_matched"}
    strictest = max((written["effect"] for written in holding), key=STRICTNESS.index)
    return strictest, {written["reason"] for written in holding if written["effect"] == strictest}


def naively_holding(matched: Sequence[tuple[int, str, dict[str, Any]]]) -> list[dict[str, Any]]:
    gone: list[int] = []
    for width in reversed(range(len(SCOPES))):
        for index, (scope, _, written) in enumerate(matched):
            if scope == width and index not in gone:
                gone += [
                    other
                    for other, (wider, policy, base) in enumerate(matched)
                    if wider < scope and f"{policy}/{base['id']}" in written.get("overrides", [])
                    if base.get("overridable")
                ]
    return [written for index, (_, _, written) in enumerate(matched) if index not in gone]


def random_book(chance: random.Random) -> list[Written]:
    def written(number: int) -> dict[str, Any]:
        effect = chance.choice(STRICTNESS)
        made = rule(f"r{number}", chance.choice(list(CONDITIONS)), effect, reason=f"REASON_{chance.randrange(4)}")
        if effect != "review" and chance.random() < 0.5:
            made["at"] = chance.choice(list(POINTS))
        if chance.random() < 0.5:
            made["overridable"] = True
        if chance.random() < 0.4:
            made["overrides"] = [f"p{chance.randrange(3)}/r{chance.randrange(4)}" for _ in range(2)]
        return made

    return [
        (f"p{number}", chance.choice(SCOPES), [written(index) for index in range(chance.randrange(5))])
        for number in range(chance.randrange(4))
    ]


def random_payload(chance: random.Random) -> Payload:
    full = {"a": chance.randrange(4), "b": chance.choice(["x", "y", "z"]), "c": chance.choice([True, False, "no"])}
    return {name: value for name, value in full.items() if chance.random() < 0.9}


def compiled(book: Sequence[Written]) -> list[RulebookEntry]:
    return [entry(*rules, policy=policy, scope=scope) for policy, scope, rules in book]


def ask(book: Sequence[Written], point: str, payload: Payload) -> Verdict:
    return decide(*compiled(book), point=point, payload=payload, lists={"l": ["x", "y"]})


def test_a_naive_evaluator_agrees_on_thousands_of_cases() -> None:
    chance = random.Random(20260131)
    seen: set[str] = set()
    overridden = 0
    for _ in range(1500):
        book = random_book(chance)
        entries = compiled(book)
        for _ in range(4):
            point, payload = chance.choice(["intake", "execute"]), random_payload(chance)
            verdict = decide(*entries, point=point, payload=payload, lists={"l": ["x", "y"]})
            assert (verdict.outcome.value, set(verdict.reason_codes)) == naive(book, point, payload)
            seen |= {verdict.outcome.value, *verdict.reason_codes}
            overridden += bool(verdict.overridden)
    assert seen >= {*STRICTNESS, "policy_missing", "policy_error", "no_rule_matched"}
    assert overridden > 20


seeds = st.integers(0, 2**32).map(random.Random)


@settings(max_examples=examples(200))
@given(chance=seeds)
def test_one_more_deny_rule_never_loosens(chance: random.Random) -> None:
    book = random_book(chance) or [("p0", "tenant", [])]
    point, payload = chance.choice(["intake", "execute"]), random_payload(chance)
    before = ask(book, point, payload)
    more = rule("more", chance.choice(list(CONDITIONS)), "deny")
    if chance.random() < 0.5:
        more |= {"overrides": ["p0/r0", "p1/r1", "p2/r2"], "overridable": True}
    chosen = chance.randrange(len(book) + 1)
    stricter = [(p, s, [*rules, more] if index == chosen else rules) for index, (p, s, rules) in enumerate(book)]
    if chosen == len(book):
        stricter.append(("extra", chance.choice(SCOPES), [more]))
    after = ask(stricter, point, payload)
    assert STRICTNESS.index(after.outcome) >= STRICTNESS.index(before.outcome)


@settings(max_examples=examples(200))
@given(chance=seeds)
def test_order_of_rules_and_policies_does_not_matter(chance: random.Random) -> None:
    book = random_book(chance)
    point, payload = chance.choice(["intake", "execute"]), random_payload(chance)
    shuffled = [(p, s, chance.sample(rules, len(rules))) for p, s, rules in chance.sample(book, len(book))]
    first, second = ask(book, point, payload), ask(shuffled, point, payload)
    assert (first.outcome, first.reason_codes, first.matched, first.overridden, first.approvals) == (
        second.outcome,
        second.reason_codes,
        second.matched,
        second.overridden,
        second.approvals,
    )
    assert set(first.errors) == set(second.errors)


@settings(max_examples=examples(100))
@given(chance=seeds)
def test_batched_rules_agree_with_single_rules(chance: random.Random) -> None:
    book = random_book(chance)
    point, payload = chance.choice(["intake", "execute"]), random_payload(chance)
    alone = [RulebookEntry(e.policy, e.version_id, e.scope, _one_by_one(e.document)) for e in compiled(book)]
    apart = decide(*alone, point=point, payload=payload, lists={"l": ["x", "y"]})
    at_once = ask(book, point, payload)
    assert (at_once.outcome, at_once.reason_codes, at_once.matched, at_once.errors, at_once.trace) == (
        apart.outcome,
        apart.reason_codes,
        apart.matched,
        apart.errors,
        apart.trace,
    )


def _one_by_one(policy: CompiledPolicy | None) -> CompiledPolicy:
    assert policy is not None
    batches = {
        point: tuple(type(batch)(batch.rules, batch.conditions, None) for batch in found)
        for point, found in policy.batches.items()
    }
    return CompiledPolicy(policy.rules, batches, policy.looked_at, policy.lists)
