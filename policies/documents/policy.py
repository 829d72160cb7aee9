"""Parser of `kind: Policy` documents: rules and tests. It reports all errors at once and never guesses.

Conditions are CEL expressions (`threada_site.kernel.cel`) that return true or false; everything else is data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from policies.documents.policy_schema import MAX_RULES, POLICY_SCHEMA, REASON_PATTERN
from policies.language.approvals.documents import read_approvals
from policies.language.approvals.rules import ApprovalRule
from policies.language.budget import MAX_CONDITION_BYTES, condition_bytes
from policies.language.facts import VARIABLES, Point
from policies.language.rules import Effect, PolicyDocument, PolicyTest, Rule
from threada_site.kernel.cel import ExpressionError, compile_expression
from threada_site.kernel.documents.field_errors import FieldErrors
from threada_site.kernel.errors import PolicyDocumentInvalid
from threada_site.kernel.json.pointers import pointer_to

__all__ = ["MAX_RULES", "POLICY_SCHEMA", "REASON_PATTERN", "parse_policy"]

_BOTH: Final = frozenset(Point)
_POINTS: Final = {"intake": frozenset({Point.INTAKE}), "execute": frozenset({Point.EXECUTE}), "both": _BOTH}
_DEFAULT_POINTS: Final = {"review": "intake", "require_approval": "execute"}


def parse_policy(value: Any) -> PolicyDocument:
    """Parse a whole document (`kind`, `id`, `spec`) or a bare spec (`rules`, `tests`, `default`).

    Raises `PolicyDocumentInvalid` with a `FieldError` for every error, at most 50.
    """
    identifier, spec, base, errors = POLICY_SCHEMA.parse(value, refusal=PolicyDocumentInvalid)
    place = pointer_to(base, "rules")
    rules = spec.get("rules", [])
    approvals = _check_rules(rules, place, errors) if isinstance(rules, list) else []
    errors.raise_any(PolicyDocumentInvalid, value=value)
    return PolicyDocument(
        identifier,
        tuple(map(_rule, rules, approvals)),
        tuple(_test(test, pointer_to(base, "tests", index)) for index, test in enumerate(spec.get("tests", []))),
    )


def _check_rules(rules: list[Any], place: str, errors: FieldErrors) -> list[ApprovalRule | None]:
    """Check what a schema cannot say. Return the approvals of each rule."""
    size = condition_bytes({"rules": [rule for rule in rules if isinstance(rule, Mapping)]})
    if size > MAX_CONDITION_BYTES:  # compilation would take too long
        said = f"All conditions together have {size} bytes; {MAX_CONDITION_BYTES} may. Use lists for what is alike."
        errors.add(place, said, "too_large")
    seen: set[str] = set()
    approvals: list[ApprovalRule | None] = []
    for index, rule in enumerate(rules):
        pointer = pointer_to(place, index)
        if errors.is_clean(pointer_to(pointer, "id")) and "id" in rule:
            if rule["id"] in seen:
                errors.add(pointer_to(pointer, "id"), f"There is another rule {rule['id']}. Rename one.")
            seen.add(rule["id"])
        if errors.is_clean(pointer_to(pointer, "when")) and "when" in rule:
            _check_condition(rule["when"], pointer_to(pointer, "when"), errors)
        if errors.is_clean(pointer_to(pointer, "approvals")) and "approvals" in rule:
            approvals.append(read_approvals(rule["approvals"], pointer_to(pointer, "approvals"), errors))
        else:
            approvals.append(None)
    return approvals


def _check_condition(source: str, pointer: str, errors: FieldErrors) -> None:
    try:
        if not compile_expression(source, variables=VARIABLES).may_be_truth:
            errors.add(pointer, "A condition must return true or false.", "invalid_expression")
    except ExpressionError as error:
        where = f"line {error.line}, column {error.column}: " if error.line else ""
        said = f"{where}{error.message}"
        errors.add(pointer, said, "invalid_expression", line=error.line, column=error.column)


def _rule(value: Mapping[str, Any], approvals: ApprovalRule | None) -> Rule:
    effect = Effect(value["effect"])
    return Rule(
        id=value["id"],
        when=value["when"],
        effect=effect,
        at=_POINTS[value.get("at", _DEFAULT_POINTS.get(effect, "both"))],
        reason=value["reason"],
        message=value.get("message"),
        approvals=approvals,
        overrides=tuple(value.get("overrides", ())),
        overridable=value.get("overridable", False),
    )


def _test(value: Mapping[str, Any], pointer: str) -> PolicyTest:
    expect = value["expect"]
    return PolicyTest(
        given=value.get("given", {}),
        effect=Effect(expect["effect"]),
        reason=expect.get("reason"),
        pointer=pointer,
        name=value.get("name", ""),
    )
