"""Tests inside a policy document: sample facts and the expected result. They must pass before publication."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from policies.language.budget import CHECK_SECONDS, CpuBudget
from policies.language.evaluation import RulebookEntry, Verdict, compile_policy, evaluate
from policies.language.facts import CONTEXT_FACTS, ITEM_FACTS, VARIABLES, Point, build_facts
from policies.language.field_errors import FieldErrors
from policies.language.rules import Effect, PolicyDocument, PolicyTest
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to

_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_MAX_NAME: Final = 200


def parse_test(value: Mapping[str, Any], pointer: str, errors: FieldErrors) -> PolicyTest:
    """Parse one entry of `tests`; add what is wrong to `errors`."""
    errors.known_fields(value, ("name", "given", "expect"), pointer)
    given = value.get("given", {})
    if isinstance(given, Mapping):
        _check_supplied_facts(given, pointer_to(pointer, "given"), errors)
    else:
        errors.add(pointer_to(pointer, "given"), "given is an object of facts.", "wrong_type")
        given = {}
    name = value.get("name", "")
    if not isinstance(name, str) or len(name) > _MAX_NAME:
        errors.add(pointer_to(pointer, "name"), f"A name is text of at most {_MAX_NAME} characters.")
        name = ""
    effect, reason = _expectation(value.get("expect"), pointer_to(pointer, "expect"), errors)
    return PolicyTest(given=given, effect=effect, reason=reason, pointer=pointer, name=name)


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
    entry = RulebookEntry(document.id or "", "", "tenant", compiled)
    known_lists: dict[str, Sequence[Any]] = {name: [] for name in compiled.lists or ()} | dict(lists or {})
    found: list[FieldError] = []
    for test in document.tests:
        if spent.is_used_up:
            said = (
                f"The checks of this policy take more than {CHECK_SECONDS:.0f} s of processor time. Have fewer tests."
            )
            return [*found, FieldError(test.pointer, said, "too_large")]
        verdict = evaluate([entry], _facts(test, known_lists))
        if not _passes(test, verdict):
            found.append(FieldError(test.pointer, _difference(test, verdict), "test_failed"))
    return found


def _check_supplied_facts(given: Mapping[str, Any], pointer: str, errors: FieldErrors) -> None:
    errors.known_fields(given, VARIABLES, pointer)
    for name, known in (("item", ITEM_FACTS), ("ctx", CONTEXT_FACTS)):
        if isinstance(given.get(name, {}), Mapping):
            errors.known_fields(given.get(name, {}), known, pointer_to(pointer, name))
        else:
            errors.add(pointer_to(pointer, name), f"{name} is an object of facts.", "wrong_type")
    lists = given.get("lists", {})
    if not isinstance(lists, Mapping) or not all(isinstance(items, list) for items in lists.values()):
        errors.add(pointer_to(pointer, "lists"), "lists is an object of lists.", "wrong_type")
    context = given.get("ctx")
    if isinstance(context, Mapping) and "point" in context:
        errors.one_of(context["point"], tuple(Point), f"{pointer}/ctx/point", "point")


def _expectation(expect: Any, pointer: str, errors: FieldErrors) -> tuple[Effect, str | None]:
    if not isinstance(expect, Mapping):
        errors.add(pointer, "Say what to expect, e.g. {effect: deny, reason: SANCTIONED_VENDOR}.", "required")
        return Effect.DENY, None
    errors.known_fields(expect, ("effect", "reason"), pointer)
    is_known = errors.one_of(expect.get("effect"), tuple(Effect), pointer_to(pointer, "effect"), "effect")
    reason = expect.get("reason")
    if reason is not None and not isinstance(reason, str):
        errors.add(pointer_to(pointer, "reason"), "reason is text.", "wrong_type")
        reason = None
    return Effect(expect["effect"]) if is_known else Effect.DENY, reason


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
