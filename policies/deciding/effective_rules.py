"""The rules that hold together for one kind of case, each with where it comes from and what loosens it. Pure."""

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
    """A version in force where an overlay binds it. `version_id` "" and no rules: none is in force, so it denies."""

    policy: str
    overlay_id: str
    scope: OverlayScope
    window: TimeWindow
    version_id: str = ""
    number: int | None = None
    rules: Sequence[Mapping[str, Any]] = ()

    @property
    def width(self) -> int:
        """0 is the widest scope."""
        return SCOPES.index(self.scope.kind)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Origin:
    """A rule by name, and where it is bound."""

    binding: Binding
    rule: str


@dataclass(frozen=True, slots=True)
class EffectiveRule:
    """A rule that is asked.

    `overridden_by` are the rules that loosen it where both match; `in_vain` what it names in `overrides` and may not
    loosen: because that does not allow it, is no wider, or is not asked here.
    """

    binding: Binding
    rule: Mapping[str, Any]
    overridden_by: tuple[Origin, ...]
    in_vain: tuple[str, ...]


def effective_rules(bindings: Iterable[Binding]) -> list[EffectiveRule]:
    """Every rule of what applies: the widest scope first, then by policy, then in the order of its document."""
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
            _loosened_by(binding, rule, loosening),
            tuple(name for name in rule.get("overrides", []) if may_loosen.get(name, len(SCOPES)) >= binding.width),
        )
        for binding in ordered
        for rule in binding.rules
    ]


def _loosened_by(
    binding: Binding, rule: Mapping[str, Any], loosening: Mapping[str, list[Origin]]
) -> tuple[Origin, ...]:
    if rule.get("overridable") is not True:
        return ()
    named = loosening.get(f"{binding.policy}/{rule['id']}", [])
    return tuple(origin for origin in named if origin.binding.width > binding.width)
