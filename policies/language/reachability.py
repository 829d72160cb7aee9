"""Rules that can never decide, found by reading a document alone. Only what is certain is said.

*Unreachable*: without the rule every case ends alike. *Shadowed*: whenever the rule holds, a stricter one does too, so
it never decides; it is felt only where its own condition fails, which denies. Nothing is said about a rule that
overrides others, nor by way of one that may be overridden: what happens to those, other documents decide.
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
    """A warning for every rule that never decides, in their order, with pointers into the spec."""
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
        yield UNREACHABLE, _outdone(rule, same.rule, "holds whenever it does")
        return
    twin = next((other for other in earlier if _fail_alike(other, candidate) and _say_the_same(other.rule, rule)), None)
    if twin is not None:
        yield UNREACHABLE, f"Rule {rule.id} says what rule {twin.rule.id} says already. Remove it, or change one."
        return
    wider = next((other for other in stricter if _follows(candidate, other)), None)
    if wider is not None:
        yield SHADOWED, _outdone(rule, wider.rule, "holds whenever it does; a failure of its condition still denies")


def _outdone(rule: Rule, other: Rule, how: str) -> str:
    return f"Rule {rule.id} never decides: rule {other.id} ({other.effect}) {how}. Remove it, or narrow {other.id}."


def _why_it_never_holds(candidate: _Outlined) -> str:
    """A reason that is certain: the condition cannot fail before it comes to it, and cannot hold."""
    if candidate.logic.says is False:
        return "its condition is always false. Remove it, or write when it should hold."
    rule = candidate.rule
    for fact, text in candidate.logic.compares:
        if fact == "ctx.action" and text and rule.at == {Point.INTAKE}:
            return f"it is asked at intake, where there is no action {text}. Write at: execute, or both."
        if fact == "ctx.point" and _POINTS_SAID.get(text) not in rule.at:
            return f"it is never asked at {text[:40]!r}. Say so in at, or leave ctx.point out."
    return ""


def _covers(other: Rule, rule: Rule) -> bool:
    return not other.overridable and rule.at <= other.at


def _fail_alike(other: _Outlined, candidate: _Outlined) -> bool:
    """Whether both hold, and fail, for the very same facts; or neither ever fails and both always hold."""
    return _covers(other.rule, candidate.rule) and (
        (other.holds_always and candidate.holds_always) or other.logic.conjuncts == candidate.logic.conjuncts
    )


def _follows(candidate: _Outlined, other: _Outlined) -> bool:
    """Whether `other` holds whenever `candidate` does."""
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
