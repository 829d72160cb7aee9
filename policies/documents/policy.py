"""Parser of `kind: Policy` documents: rules and tests. It reports all errors at once and never guesses.

Conditions are CEL expressions (`threada_site.kernel.cel`) that return true or false; everything else is data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from policies.language.approvals import ApprovalRule, parse_approvals
from policies.language.budget import MAX_CONDITION_BYTES, condition_bytes
from policies.language.document_header import read_header, read_slug
from policies.language.facts import VARIABLES, Point
from policies.language.field_errors import FieldErrors
from policies.language.rule_tests import parse_test
from policies.language.rules import Effect, PolicyDocument, Rule
from threada_site.kernel.cel import ExpressionError, compile_expression
from threada_site.kernel.errors import PolicyDocumentInvalid
from threada_site.kernel.ids import SLUG_PATTERN
from threada_site.kernel.json.pointers import pointer_to

MAX_RULES: Final = 1000
MAX_TESTS: Final = 1000
MAX_OVERRIDES: Final = 100
MAX_MESSAGE: Final = 500
REASON_PATTERN: Final = r"[A-Z][A-Z0-9_]{1,63}"

_REASON: Final = re.compile(REASON_PATTERN)
_RULE_REFERENCE: Final = re.compile(rf"{SLUG_PATTERN}/{SLUG_PATTERN}")
_RULE_FIELDS: Final = (
    "id",
    "when",
    "effect",
    "at",
    "reason",
    "message",
    "approvals",
    "overrides",
    "overridable",
)


_BOTH: Final = frozenset(Point)
_DEFAULT_POINTS: Final = {
    Effect.DENY: _BOTH,
    Effect.REQUIRE_APPROVAL: frozenset({Point.EXECUTE}),
    Effect.REVIEW: frozenset({Point.INTAKE}),
    Effect.ALLOW: _BOTH,
}
_POINTS: Final = {"intake": frozenset({Point.INTAKE}), "execute": frozenset({Point.EXECUTE}), "both": _BOTH}


def parse_policy(value: Any) -> PolicyDocument:
    """Parse a whole document (`kind`, `id`, `spec`) or a bare spec (`rules`, `tests`, `default`).

    Raises `PolicyDocumentInvalid` with a `FieldError` for every error, at most 50.
    """
    errors = FieldErrors()
    if not isinstance(value, Mapping):
        raise PolicyDocumentInvalid("A policy is an object with rules. Write {rules: [...]}.")
    identifier, spec, base = read_header(value, "Policy", errors)
    document = _Reader(errors).spec(identifier, spec, base)
    if errors.found:
        raise PolicyDocumentInvalid(errors=errors.found)
    return document


class _Reader:
    """Reads one spec and collects errors. Return values are valid only if there are no errors."""

    def __init__(self, errors: FieldErrors) -> None:
        self._errors = errors

    def spec(self, identifier: str | None, spec: Mapping[str, Any], base: str) -> PolicyDocument:
        self._errors.known_fields(spec, ("rules", "tests", "default"), base)
        if spec.get("default", "deny") != "deny":
            self._errors.add(pointer_to(base, "default"), "The default is always deny. Write a rule instead.")
        rules = self._entries(spec, "rules", base, MAX_RULES)
        if "rules" not in spec:
            self._errors.add(pointer_to(base, "rules"), "A policy must have rules.", "required")
        if (size := condition_bytes({"rules": [rule for rule, _ in rules]})) > MAX_CONDITION_BYTES:
            said = f"All conditions together have {size} bytes; {MAX_CONDITION_BYTES} may. Use lists for what is alike."
            self._errors.add(pointer_to(base, "rules"), said, "too_large")
            rules = []  # skip compilation, which would take too long
        tests = self._entries(spec, "tests", base, MAX_TESTS)
        document = PolicyDocument(
            identifier,
            tuple(self._rule(entry, pointer) for entry, pointer in rules),
            tuple(parse_test(entry, pointer, self._errors) for entry, pointer in tests),
        )
        self._check_ids_differ(document.rules, [pointer for _, pointer in rules])
        return document

    def _entries(self, spec: Mapping[str, Any], name: str, base: str, most: int) -> list[tuple[Mapping[str, Any], str]]:
        entries, pointer = spec.get(name, []), pointer_to(base, name)
        if not isinstance(entries, list):
            self._errors.add(pointer, f"{name} is a list.", "wrong_type")
            return []
        if len(entries) > most:
            self._errors.add(pointer, f"A policy has at most {most} {name}. Split it.", "too_large")
            return []
        found = []
        for index, entry in enumerate(entries):
            if isinstance(entry, Mapping):
                found.append((entry, pointer_to(pointer, index)))
            else:
                self._errors.add(pointer_to(pointer, index), f"Each of {name} is an object.", "wrong_type")
        return found

    def _check_ids_differ(self, rules: tuple[Rule, ...], pointers: list[str]) -> None:
        seen: set[str] = set()
        for rule, pointer in zip(rules, pointers, strict=True):
            if rule.id and rule.id in seen:
                self._errors.add(pointer_to(pointer, "id"), f"There is another rule {rule.id}. Rename one.")
            seen.add(rule.id)

    def _rule(self, value: Mapping[str, Any], pointer: str) -> Rule:
        self._errors.known_fields(value, _RULE_FIELDS, pointer)
        effect = self._effect(value, pointer)
        return Rule(
            id=read_slug(value, pointer, self._errors),
            when=self._condition(value, pointer),
            effect=effect,
            at=self._points(value, effect, pointer),
            reason=self._reason(value, pointer),
            message=self._message(value, pointer),
            approvals=self._approvals(value, effect, pointer),
            overrides=self._overrides(value, pointer),
            overridable=self._boolean(value, "overridable", pointer),
        )

    def _condition(self, value: Mapping[str, Any], pointer: str) -> str:
        source, place = value.get("when"), pointer_to(pointer, "when")
        if not isinstance(source, str):
            self._errors.add(place, "Write a condition as text, e.g. 'true'.", "wrong_type" if source else "required")
            return ""
        try:
            if not compile_expression(source, variables=VARIABLES).may_be_truth:
                self._errors.add(place, "A condition must return true or false.", "invalid_expression")
        except ExpressionError as error:
            where = f"line {error.line}, column {error.column}: " if error.line else ""
            said = f"{where}{error.message}"
            self._errors.add(place, said, "invalid_expression", line=error.line, column=error.column)
        return source

    def _effect(self, value: Mapping[str, Any], pointer: str) -> Effect:
        if self._errors.one_of(value.get("effect"), tuple(Effect), pointer_to(pointer, "effect"), "effect"):
            return Effect(value["effect"])
        return Effect.DENY

    def _points(self, value: Mapping[str, Any], effect: Effect, pointer: str) -> frozenset[Point]:
        if "at" not in value:
            return _DEFAULT_POINTS[effect]
        place = pointer_to(pointer, "at")
        if not self._errors.one_of(value["at"], tuple(_POINTS), place, "point"):
            return _BOTH
        points = _POINTS[value["at"]]
        if effect is Effect.REVIEW and Point.EXECUTE in points:
            self._errors.add(place, "A review is only possible at intake. Write at: intake, or use require_approval.")
        return points

    def _reason(self, value: Mapping[str, Any], pointer: str) -> str:
        reason = value.get("reason")
        if isinstance(reason, str) and _REASON.fullmatch(reason):
            return reason
        self._errors.add(
            pointer_to(pointer, "reason"),
            "Give a reason of 2 to 64 capitals, digits and _, e.g. AMOUNT_OVER_LIMIT.",
            "invalid" if "reason" in value else "required",
        )
        return ""

    def _message(self, value: Mapping[str, Any], pointer: str) -> str | None:
        message = value.get("message")
        if message is None or (isinstance(message, str) and len(message) <= MAX_MESSAGE):
            return message
        self._errors.add(pointer_to(pointer, "message"), f"A message is text of at most {MAX_MESSAGE} characters.")
        return None

    def _approvals(self, value: Mapping[str, Any], effect: Effect, pointer: str) -> ApprovalRule | None:
        place = pointer_to(pointer, "approvals")
        if "approvals" not in value:
            if effect is Effect.REQUIRE_APPROVAL:
                self._errors.add(place, "Name the approvers, e.g. {role: finance, count: 2}.", "required")
            return None
        if effect not in (Effect.REQUIRE_APPROVAL, Effect.REVIEW):
            self._errors.add(place, f"A rule with effect {effect} takes no approvals. Remove approvals.")
            return None
        try:
            return parse_approvals(value["approvals"], pointer=place)
        except PolicyDocumentInvalid as error:
            for entry in error.errors:
                self._errors.add(entry.pointer, entry.detail, entry.code)
            return None

    def _overrides(self, value: Mapping[str, Any], pointer: str) -> tuple[str, ...]:
        names, place = value.get("overrides", []), pointer_to(pointer, "overrides")
        if not isinstance(names, list) or len(names) > MAX_OVERRIDES:
            self._errors.add(place, f"overrides is a list of at most {MAX_OVERRIDES} rules.", "wrong_type")
            return ()
        for index, name in enumerate(names):
            if not isinstance(name, str) or not _RULE_REFERENCE.fullmatch(name):
                self._errors.add(pointer_to(place, index), "Name a rule as policy/rule, e.g. payments/large-payment.")
        return tuple(name for name in names if isinstance(name, str))

    def _boolean(self, value: Mapping[str, Any], name: str, pointer: str) -> bool:
        flag = value.get(name, False)
        if not isinstance(flag, bool):
            self._errors.add(pointer_to(pointer, name), f"{name} is true or false.", "wrong_type")
        return flag is True
