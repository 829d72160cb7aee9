"""Static detection of rules that can never decide. Reports only rules for which this is certain.

*Unreachable*: removing the rule changes no outcome. *Shadowed*: whenever the rule matches, a stricter rule matches too,
so the rule never decides; it has an effect only if its own condition fails, which denies. Rules that override others
are never reported, and overridable rules are never the reason for a report, because their effect depends on other
documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from policies.language.facts import VARIABLES, Point
from policies.language.rules import Effect, PolicyDocument, Rule
from threada_site.kernel.cel import Logic, logic_of
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to

UNREACHABLE: Final = "rule_unreachable"
SHADOWED: Final = "rule_shadowed"

_STRICTEST_FIRST: Final = tuple(Effect)
_POINTS_SAID: Final[Mapping[str, Point]] = MappingProxyType({point.value: point for point in Point})


@dataclass(frozen=True, slots=True)
class _Outlined:
    rule: Rule
    logic: Logic
    strictness: int

    @property
    def holds_always(self) -> bool:
        return self.logic.says is True


def rule_warnings(document: PolicyDocument) -> list[FieldError]:
    """Return a warning for every rule that never decides, in document order, with pointers into the spec."""
    outlined = [_Outlined(rule, logic_of(rule.when, variables=VARIABLES), _strictness(rule)) for rule in document.rules]
    found = []
    for index, candidate in enumerate(outlined):
        for code, detail in _said_about(candidate, outlined[:index], outlined):
            found.append(FieldError(pointer_to("", "rules", index), detail, code))
    return found


def _said_about(
    candidate: _Outlined, earlier: Sequence[_Outlined], everyone: Sequence[_Outlined]
) -> Iterator[tuple[str, str]]:
    rule = candidate.rule
    if rule.overrides:
        return
    if never := _why_it_never_holds(candidate):
        yield UNREACHABLE, f"Rule {rule.id} never decides: {never}"
        return
    stricter = [other for other in everyone if _covers(other.rule, rule) and other.strictness < candidate.strictness]
    same = next((other for other in stricter if _fail_alike(other, candidate)), None)
    if same is not None:
        yield UNREACHABLE, _outdone(rule, same.rule, "matches whenever it does")
        return
    twin = next((other for other in earlier if _fail_alike(other, candidate) and _say_the_same(other.rule, rule)), None)
    if twin is not None:
        yield UNREACHABLE, f"Rule {rule.id} repeats rule {twin.rule.id}. Remove it, or change one."
        return
    wider = next((other for other in stricter if _follows(candidate, other)), None)
    if wider is not None:
        yield SHADOWED, _outdone(rule, wider.rule, "matches whenever it does; a failure of its condition still denies")


def _outdone(rule: Rule, other: Rule, how: str) -> str:
    return f"Rule {rule.id} never decides: rule {other.id} ({other.effect}) {how}. Remove it, or narrow {other.id}."


def _why_it_never_holds(candidate: _Outlined) -> str:
    """Return why the condition is certainly never true, or "" if that is not certain.

    A part that may fail before the deciding part makes it uncertain.
    """
    if candidate.logic.says is False:
        return "its condition is always false. Remove it, or correct the condition."
    rule = candidate.rule
    for fact, text in candidate.logic.compares:
        if fact == "ctx.action" and text and rule.at == {Point.INTAKE}:
            return f"it is evaluated at intake, where there is no action {text}. Write at: execute, or both."
        if fact == "ctx.point" and _POINTS_SAID.get(text) not in rule.at:
            return f"it is never evaluated at {text[:40]!r}. Add that point to at, or remove ctx.point."
    return ""


def _covers(other: Rule, rule: Rule) -> bool:
    return not other.overridable and rule.at <= other.at


def _fail_alike(other: _Outlined, candidate: _Outlined) -> bool:
    """Return True if both conditions match and fail on the same facts, or if both always match and never fail."""
    return _covers(other.rule, candidate.rule) and (
        (other.holds_always and candidate.holds_always) or other.logic.conjuncts == candidate.logic.conjuncts
    )


def _follows(candidate: _Outlined, other: _Outlined) -> bool:
    """Return True if `other` matches whenever `candidate` matches."""
    return other.holds_always or (bool(other.logic.conjuncts) and other.logic.conjuncts <= candidate.logic.conjuncts)


def _say_the_same(other: Rule, rule: Rule) -> bool:
    return (other.effect, other.reason, other.message, other.approvals) == (
        rule.effect,
        rule.reason,
        rule.message,
        rule.approvals,
    )


def _strictness(rule: Rule) -> int:
    return _STRICTEST_FIRST.index(rule.effect)
