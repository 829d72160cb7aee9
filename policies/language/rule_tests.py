"""Tests inside a policy document: sample facts and the expected result. They must pass before publication."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from policies.language.budget import CHECK_SECONDS, CpuBudget
from policies.language.evaluation import (
    Announce,
    CompiledPolicy,
    RulebookEntry,
    Verdict,
    compile_policy,
    evaluate,
)
from policies.language.facts import Point, build_facts
from policies.language.rules import PolicyDocument, PolicyTest
from threada_site.kernel.errors import FieldError

_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)


def run_tests(
    document: PolicyDocument,
    *,
    lists: Mapping[str, Sequence[Any]] | None = None,
    cpu_budget: CpuBudget | None = None,
) -> list[FieldError]:
    """Return one error for every failing test. Tests run against the rules of this document alone.

    Missing facts get defaults: confidence 1.0, point intake (execute if `ctx.action` is given), the tenant's `lists`,
    and an empty list for every other list that the rules read. Tests that remain when
    `cpu_budget` is used up fail.
    """
    spent = cpu_budget or CpuBudget(CHECK_SECONDS)
    compiled = compile_policy(document)
    found: list[FieldError] = []
    for test in document.tests:
        if spent.is_used_up:
            return [*found, tests_take_too_long(test)]
        failure = failure_of(test, compiled, policy=document.id or "", lists=lists or {})
        if failure is not None:
            found.append(failure)
    return found


def failure_of(
    test: PolicyTest,
    compiled: CompiledPolicy,
    *,
    policy: str,
    lists: Mapping[str, Sequence[Any]],
    announce: Announce | None = None,
) -> FieldError | None:
    """Run one test of the policy `policy`. Return its error, or None if it passes."""
    known_lists: dict[str, Sequence[Any]] = {name: [] for name in compiled.lists or ()} | dict(lists)
    verdict = evaluate([RulebookEntry(policy, "", "tenant", compiled)], _facts(test, known_lists), announce=announce)
    return None if _passes(test, verdict) else FieldError(test.pointer, _difference(test, verdict), "test_failed")


def tests_take_too_long(next_test: PolicyTest) -> FieldError:
    """Return the error of the test at which the processor time of the checks was used up."""
    said = f"The checks of this policy take more than {CHECK_SECONDS:.0f} s of processor time. Have fewer tests."
    return FieldError(next_test.pointer, said, "too_large")


def _facts(test: PolicyTest, lists: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    given_context = test.given.get("ctx", {})
    point = Point.EXECUTE if given_context.get("action") else Point.INTAKE
    facts = build_facts(point=point, now=_EPOCH, lists=lists)
    for name in ("item", "ctx", "lists"):
        facts[name] |= test.given.get(name, {})
    if "input" in test.given:
        facts["input"] = test.given["input"]
    return facts


def _passes(test: PolicyTest, verdict: Verdict) -> bool:
    return verdict.outcome is test.effect and (test.reason is None or test.reason in verdict.reason_codes)


def _difference(test: PolicyTest, verdict: Verdict) -> str:
    expected = f"{test.effect} {test.reason or ''}".rstrip()
    said = f"{verdict.outcome} {', '.join(verdict.reason_codes)}".rstrip()
    errors = "".join(f" Rule {error.rule}: {error.message}" for error in verdict.errors[:3])
    named = f"Test {test.name!r}" if test.name else "The test"
    return f"{named} expects {expected}; the rules say {said}.{errors}"
