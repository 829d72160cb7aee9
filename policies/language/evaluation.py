"""Evaluation of a rulebook for one case: from facts to a verdict. Every failure is a deny with a reason code. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from policies.language.approvals import REVIEW_DEFAULT, ApprovalRule, merge
from policies.language.batches import Batch, batches_of
from policies.language.facts import VARIABLES, Point
from policies.language.rules import Effect, PolicyDocument, Rule
from threada_site.kernel.cel import (
    ENGINE,
    BoundFacts,
    Expression,
    ExpressionError,
    ExpressionTooExpensive,
    compile_expression,
)
from threada_site.kernel.errors import PolicyDocumentInvalid

type Announce = Callable[[str, str], None]
type Scope = Literal["tenant", "pack", "workflow", "channel", "group"]

SCOPES: Final[tuple[Scope, ...]] = ("tenant", "pack", "workflow", "channel", "group")
"""Scopes from widest to narrowest. A rule can override only rules of a wider scope."""
CPU_LIMIT_SECONDS: Final = 0.5
_STRICTEST_FIRST: Final = tuple(Effect)


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy with compiled conditions. `lists` contains the names of lists that its rules read; None means any."""

    rules: tuple[Rule, ...]
    batches: Mapping[Point, tuple[Batch, ...]]
    looked_at: Mapping[Point, tuple[str, ...]]
    lists: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class RulebookEntry:
    """One policy version in force, bound by overlays of one scope. `document` is None if the version cannot be parsed.

    `on` contains the workflow, channel or groups it is bound to; it is empty for the whole tenant.
    """

    policy: str
    version_id: str
    scope: Scope
    document: CompiledPolicy | None
    on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MatchedRule:
    """A rule whose condition was true."""

    policy: str
    version_id: str
    rule: str
    effect: Effect
    reason: str
    scope: Scope
    message: str | None = None


@dataclass(frozen=True, slots=True)
class RuleError:
    """A rule that could not be evaluated. `rule` is "" if the error concerns the whole policy."""

    policy: str
    rule: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of an evaluation.

    `reason_codes` contains the codes of the matched rules with the winning effect, or one built-in code for a deny that
    no rule caused. `approvals` merges the approval rules of all winning rules (reviews and approvals only). `matched`
    contains the rules that matched and count, `overridden` those that matched and were overridden; both are ordered by
    scope (widest first), policy and rule.
    """

    outcome: Effect
    reason_codes: tuple[str, ...]
    matched: tuple[MatchedRule, ...] = ()
    overridden: tuple[MatchedRule, ...] = ()
    errors: tuple[RuleError, ...] = ()
    approvals: ApprovalRule | None = None
    trace: list[dict[str, Any]]
    engine: str = ENGINE
    duration_us: int


def compile_policy(document: PolicyDocument) -> CompiledPolicy:
    """Compile every condition of a policy. Raises `PolicyDocumentInvalid` if one does not compile."""
    conditions = {rule.id: _compiled(rule) for rule in document.rules}
    batches: dict[Point, tuple[Batch, ...]] = {}
    looked_at: dict[Point, tuple[str, ...]] = {}
    for point in Point:
        rules = tuple(rule for rule in document.rules if point in rule.at)
        looked_at[point] = tuple(rule.id for rule in rules)
        batches[point] = tuple(batches_of(rules, conditions))
    return CompiledPolicy(document.rules, batches, looked_at, _lists_read(conditions.values()))


def outline_policy(document: PolicyDocument) -> CompiledPolicy:
    """Return a policy for the evaluator, which compiles the batches itself: this process cannot evaluate it.

    Raises `PolicyDocumentInvalid` if a condition does not compile.
    """
    return CompiledPolicy(document.rules, {}, {}, _lists_read(map(_compiled, document.rules)))


def evaluate(
    entries: Sequence[RulebookEntry],
    facts: Mapping[str, Any],
    *,
    cpu_limit: float = CPU_LIMIT_SECONDS,
    announce: Announce | None = None,
) -> Verdict:
    """Return the verdict of all `entries` for complete facts (`build_facts`).

    Only rules for `facts["ctx"]["point"]` are evaluated. The strictest effect of the matched rules wins. The outcome is
    deny if there is no policy, no rule matches, a rule fails, a rule could cost more than `MAX_COST` with these facts,
    or the thread uses more than `cpu_limit` seconds of CPU for all rules together. `announce` is called
    with policy and rule before each batch.
    """
    return _Evaluation(entries, facts, cpu_limit, announce).verdict()


def denied(reason_code: str, *errors: RuleError) -> Verdict:
    """Return the verdict of an evaluation that did not take place or did not end."""
    return Verdict(outcome=Effect.DENY, reason_codes=(reason_code,), errors=errors, trace=[], duration_us=0)


def engine_failure(name: str) -> Verdict:
    """Return the verdict of an evaluation that raised an exception: an engine defect must deny. `name` is its type."""
    return denied("policy_error", RuleError("", "", f"The evaluation failed: {name}."))


def _lists_read(conditions: Iterable[Expression]) -> frozenset[str] | None:
    read = [condition.lists for condition in conditions]
    return None if None in read else frozenset[str]().union(*filter(None, read))


def _compiled(rule: Rule) -> Expression:
    try:
        return compile_expression(rule.when, variables=VARIABLES)
    except ExpressionError as error:
        raise PolicyDocumentInvalid(f"The condition of rule {rule.id} does not compile: {error.message}") from None


type _Place = tuple[int, str, str]
"""Scope (0 is the widest), policy and rule: the sort order of matched rules."""


class _TooSlowError(Exception):
    """The evaluation exceeded its CPU limit, or a rule could exceed the largest cost."""


class _Evaluation:
    """One run over the rulebook: collects matched and failed rules, then combines them into a verdict."""

    def __init__(
        self, entries: Sequence[RulebookEntry], facts: Mapping[str, Any], cpu_limit: float, announce: Announce | None
    ) -> None:
        self._started_ns = time.perf_counter_ns()
        self._announce = announce
        self._running: tuple[str, str] | None = None
        self._limit_ns = int(cpu_limit * 1_000_000_000)
        self._cpu_end = time.thread_time() + cpu_limit
        self._entries = entries
        self._point = Point(facts["ctx"]["point"])
        self._facts = BoundFacts(facts, variables=VARIABLES)
        self._matched: dict[_Place, tuple[MatchedRule, Rule]] = {}
        self._errors: list[RuleError] = []
        self._trace: list[dict[str, Any]] = []

    def verdict(self) -> Verdict:
        if not self._entries:
            return self._deny("policy_missing")
        unreadable = [entry for entry in self._entries if entry.document is None]
        if unreadable:
            self._errors += [RuleError(entry.policy, "", f"{entry.version_id} cannot be read.") for entry in unreadable]
            return self._deny("policy_malformed")
        try:
            for entry in self._entries:
                self._ask(entry)
            self._check_time()
        except _TooSlowError:
            return self._deny("policy_too_slow")
        if self._errors:
            return self._deny("policy_error")
        return self._combine() if self._matched else self._deny("no_rule_matched")

    def _ask(self, entry: RulebookEntry) -> None:
        assert entry.document is not None  # noqa: S101 - verdict() returned early for unreadable entries
        scope = SCOPES.index(entry.scope)
        matched: list[str] = []
        errors_before = len(self._errors)
        for batch in entry.document.batches[self._point]:
            for rule, holds in zip(batch.rules, self._answers(entry, batch), strict=True):
                if holds:
                    matched.append(rule.id)
                    self._matched[scope, entry.policy, rule.id] = _matched(entry, rule), rule
        self._trace.append(
            {
                "policy": entry.policy,
                "version_id": entry.version_id,
                "scope": entry.scope,
                "looked_at": list(entry.document.looked_at[self._point]),
                "matched": matched,
                "failed": [error.rule for error in self._errors[errors_before:]],
            }
        )

    def _answers(self, entry: RulebookEntry, batch: Batch) -> list[bool]:
        self._begin(entry, batch.rules[0])
        together = batch.together
        if together and batch.needs_ordinary_facts and not self._facts.is_ordinary:
            together = None
        answers = together.truths(self._facts) if together else None
        return answers if answers is not None else self._answers_one_by_one(entry, batch)

    def _answers_one_by_one(self, entry: RulebookEntry, batch: Batch) -> list[bool]:
        answers = []
        for rule, condition in zip(batch.rules, batch.conditions, strict=True):
            self._begin(entry, rule)
            try:
                answers.append(condition.truth(self._facts))
            except ExpressionTooExpensive as error:
                self._errors.append(RuleError(entry.policy, rule.id, error.message))
                raise _TooSlowError from None
            except ExpressionError as error:
                self._errors.append(RuleError(entry.policy, rule.id, error.message))
                answers.append(False)
        return answers

    def _begin(self, entry: RulebookEntry, rule: Rule) -> None:
        self._check_time()
        self._running = entry.policy, rule.id
        if self._announce is not None:
            self._announce(*self._running)

    def _check_time(self) -> None:
        if time.perf_counter_ns() - self._started_ns < self._limit_ns:
            return  # a thread cannot use more CPU time than has passed; asking for it is a system call
        if time.thread_time() > self._cpu_end:
            if self._running is not None:
                self._errors.append(RuleError(*self._running, "The time limit was exceeded when this rule ended."))
            raise _TooSlowError

    def _combine(self) -> Verdict:
        places = sorted(self._matched)
        overridden = self._overridden(places)
        holding = [self._matched[place] for place in places if place not in overridden]
        outcome = min((rule.effect for _, rule in holding), key=_STRICTEST_FIRST.index)
        winners = [(match, rule) for match, rule in holding if rule.effect is outcome]
        approvals = None
        if outcome in (Effect.REQUIRE_APPROVAL, Effect.REVIEW):
            try:
                approvals = _asked_together([rule.approvals or REVIEW_DEFAULT for _, rule in winners])
            except PolicyDocumentInvalid as error:
                self._errors += [RuleError(match.policy, match.rule, error.detail) for match, _ in winners]
                return self._deny("policy_error")
        return self._say(
            outcome,
            tuple(dict.fromkeys(match.reason for match, _ in winners)),
            matched=tuple(match for match, _ in holding),
            overridden=tuple(self._matched[place][0] for place in places if place in overridden),
            approvals=approvals,
        )

    def _overridden(self, places: Sequence[_Place]) -> set[_Place]:
        """Return the matched rules that a matched rule of a narrower scope overrides, narrowest scope first."""
        found: set[_Place] = set()
        for narrower in reversed(places):
            names = self._matched[narrower][1].overrides
            if names and narrower not in found:
                found.update(
                    wider
                    for wider in places
                    if wider[0] < narrower[0]
                    and f"{wider[1]}/{wider[2]}" in names
                    and self._matched[wider][1].overridable
                )
        return found

    def _deny(self, reason_code: str) -> Verdict:
        matched = tuple(self._matched[place][0] for place in sorted(self._matched))
        return self._say(Effect.DENY, (reason_code,), matched=matched)

    def _say(self, outcome: Effect, reason_codes: tuple[str, ...], **found: Any) -> Verdict:
        return Verdict(
            outcome=outcome,
            reason_codes=reason_codes,
            errors=tuple(self._errors),
            trace=self._trace,
            duration_us=(time.perf_counter_ns() - self._started_ns) // 1000,
            **found,
        )


def _asked_together(rules: Sequence[ApprovalRule]) -> ApprovalRule:
    different = list(dict.fromkeys(rules))
    return different[0] if len(different) == 1 else merge(different)


def _matched(entry: RulebookEntry, rule: Rule) -> MatchedRule:
    return MatchedRule(
        entry.policy, entry.version_id, rule.id, rule.effect, rule.reason, entry.scope, message=rule.message
    )
