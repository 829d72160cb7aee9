"""Validation of `overrides`: a rule can override a wider rule only if that rule is `overridable`. Pure.

`policies.language.evaluation` enforces this again at every decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from threada_site.kernel.documents.field_errors import MAX_FIELD_ERRORS, suggestion
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to

type Spec = Mapping[str, Any]
"""The stored spec of a policy version: `rules`, each with an `id` and optional `overrides` and `overridable`."""


def policies_overridden(spec: Spec) -> set[str]:
    """Return the policies whose rules this spec names in `overrides`."""
    return {name.partition("/")[0] for _, name in _named(spec)}


def override_errors(spec: Spec, in_force: Mapping[str, Spec], *, is_draft: bool = False) -> list[FieldError]:
    """Return the errors in the `overrides` of a valid spec.

    `in_force` contains the specs in force of the named policies, by slug. A draft may name a policy that is not in
    force yet.
    """
    known = {slug: _rules(other) for slug, other in in_force.items()}
    found: list[FieldError] = []
    for place, name in _named(spec):
        policy, _, rule = name.partition("/")
        rules = known.get(policy)
        if rules is None and is_draft:
            continue
        if rules is None:
            said = f"There is no policy {policy} in force whose rules could be overridden. Publish it first."
            found.append(FieldError(place, said, "unknown"))
        elif rule not in rules:
            found.append(
                FieldError(place, f"{policy} has no rule {rule} in force.{suggestion(rule, rules)}", "unknown")
            )
        elif not rules[rule]:
            said = f"{name} does not say overridable: true, so no narrower rule can override it."
            found.append(FieldError(place, said, "not_overridable"))
        if len(found) == MAX_FIELD_ERRORS:
            break
    return found


def _named(spec: Spec) -> Iterator[tuple[str, str]]:
    rules: Sequence[Mapping[str, Any]] = spec.get("rules", [])
    for index, rule in enumerate(rules):
        for position, name in enumerate(rule.get("overrides", [])):
            yield pointer_to("", "rules", index, "overrides", position), name


def _rules(spec: Spec) -> dict[str, bool]:
    return {rule["id"]: rule.get("overridable") is True for rule in spec.get("rules", [])}
