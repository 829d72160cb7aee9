"""The effective rules for one kind of case, each with its origin and the rules that override it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.documents.overlay import OverlayScope
from policies.language.evaluation import SCOPES
from policies.language.time_window import TimeWindow


@dataclass(frozen=True, slots=True)
class Binding:
    """A version in force and the overlay that binds it. If none is in force, `version_id` is "": the policy denies."""

    policy: str
    overlay_id: str
    scope: OverlayScope
    window: TimeWindow
    version_id: str = ""
    number: int | None = None
    rules: Sequence[Mapping[str, Any]] = ()

    @property
    def width(self) -> int:
        """Return the index of the scope; 0 is the widest."""
        return SCOPES.index(self.scope.kind)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Origin:
    """The name of a rule and its binding."""

    binding: Binding
    rule: str


@dataclass(frozen=True, slots=True)
class EffectiveRule:
    """A rule that is evaluated.

    `overridden_by` lists the rules that override it if both match. `in_vain` lists entries of its `overrides` without
    effect: the named rule is not overridable, has no wider scope, or is not evaluated here.
    """

    binding: Binding
    rule: Mapping[str, Any]
    overridden_by: tuple[Origin, ...]
    in_vain: tuple[str, ...]


def effective_rules(bindings: Iterable[Binding]) -> list[EffectiveRule]:
    """Return all rules of `bindings`, ordered by scope (widest first), policy and position in the document."""
    ordered = sorted(bindings, key=lambda binding: (binding.width, binding.policy, binding.scope.slug))
    may_loosen: dict[str, int] = {}
    for binding in reversed(ordered):
        for rule in binding.rules:
            if rule.get("overridable") is True:
                may_loosen[f"{binding.policy}/{rule['id']}"] = binding.width
    loosening: dict[str, list[Origin]] = defaultdict(list)
    for binding in ordered:
        for rule in binding.rules:
            for name in rule.get("overrides", []):
                loosening[name].append(Origin(binding, rule["id"]))
    return [
        EffectiveRule(
            binding,
            rule,
            _overridden_by(binding, rule, loosening),
            tuple(name for name in rule.get("overrides", []) if may_loosen.get(name, len(SCOPES)) >= binding.width),
        )
        for binding in ordered
        for rule in binding.rules
    ]


def _overridden_by(
    binding: Binding, rule: Mapping[str, Any], loosening: Mapping[str, list[Origin]]
) -> tuple[Origin, ...]:
    if rule.get("overridable") is not True:
        return ()
    named = loosening.get(f"{binding.policy}/{rule['id']}", [])
    return tuple(origin for origin in named if origin.binding.width > binding.width)
