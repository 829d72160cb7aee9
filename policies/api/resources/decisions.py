"""Resources of policy decisions and of the rules in force."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from policies.api.resources.policies import SCOPE
from policies.deciding.effective_rules import Binding, EffectiveRule, Origin, effective_rules
from policies.deciding.stored_decision import explanation_of, stored_facts
from policies.language.facts import Point
from policies.language.rules import Effect
from policies.models import PolicyDecision
from threada_site.api.resources.field_types import (
    BOOLEAN,
    CANONICAL_SHA256,
    INSTANT,
    INTEGER,
    MAYBE_INSTANT,
    MAYBE_INTEGER,
    MAYBE_OBJECT,
    MAYBE_TEXT,
    OBJECT,
    OBJECTS,
    SLUG,
    TEXT,
    TEXTS,
    array,
    choice,
    inline,
    maybe_public_id,
    public_id,
)
from threada_site.api.resources.resource import FieldType, Resource, field, given, reader_of
from threada_site.kernel import ids
from threada_site.personal_data.erasable_fields import is_erased

_ORIGIN: Final = (
    field("policy_id", SLUG, "policy"),
    field(
        "policy_version_id",
        MAYBE_TEXT,
        "version_id",
        description="The version in force; null: none, so the policy denies.",
    ),
    field("version", MAYBE_INTEGER, "number"),
    field("overlay_id", FieldType(public_id(ids.OVERLAY).schema)),
    field("scope", SCOPE),
    field("starts_at", MAYBE_INSTANT, "window.starts_at"),
    field("ends_at", MAYBE_INSTANT, "window.ends_at"),
)
_read_origin: Final = reader_of(*_ORIGIN)


def _by_width(bindings: Sequence[Binding]) -> list[Binding]:
    return sorted(bindings, key=lambda binding: (binding.width, binding.policy))


def _overriding(loosening: Origin) -> dict[str, Any]:
    return {**_read_origin(loosening.binding, {}), "rule_id": loosening.rule}


_RULE: Final = (
    field("rule_id", SLUG, lambda entry: entry.rule["id"]),
    field("effect", choice(Effect), lambda entry: entry.rule["effect"]),
    field("when", TEXT, lambda entry: entry.rule["when"]),
    field("reason", TEXT, lambda entry: entry.rule["reason"]),
    field("overridable", BOOLEAN, lambda entry: entry.rule.get("overridable") is True),
    field("origin", inline(*_ORIGIN), "binding"),
    field(
        "overriding_rules",
        FieldType(OBJECTS.schema, lambda origins: [_overriding(origin) for origin in origins]),
        "overridden_by",
        description="Narrower rules that override it if both match.",
    ),
    field(
        "overrides_in_vain",
        TEXTS,
        "in_vain",
        description="Entries of `overrides` without effect: the rules are not evaluated here, not overridable, or not "
        "wider.",
    ),
)
_read_rule: Final = reader_of(*_RULE)


def _encode_rule(entry: EffectiveRule) -> dict[str, Any]:
    """Return a rule as in its document, with the declared fields."""
    declared = _read_rule(entry, {})
    named = {"rule_id": declared["rule_id"]} | {name: value for name, value in entry.rule.items() if name != "id"}
    return named | declared


EFFECTIVE: Final = Resource(
    "EffectivePolicies",
    given("workflow_id", SLUG),
    given("channel_id", MAYBE_TEXT),
    given("group_ids", array(SLUG)),
    given("at", INSTANT),
    field(
        "policies",
        array(inline(*_ORIGIN, field("rules", FieldType(OBJECTS.schema, list)))),
        _by_width,
        description="Widest scope first. If empty, or if a version is null: denied (`policy_missing`).",
    ),
    field(
        "rules",
        array(FieldType(inline(*_RULE).schema, _encode_rule)),
        effective_rules,
        description="All evaluated rules as in their documents, widest scope first.",
    ),
)


def _errors(decision: PolicyDecision) -> Any:
    return [] if is_erased(decision.rule_errors) else decision.rule_errors


POLICY_DECISION: Final = Resource(
    "PolicyDecision",
    field("policy_decision_id", public_id(ids.POLICY_DECISION), "id"),
    field("work_item_id", public_id(ids.WORK_ITEM)),
    field("execution_id", maybe_public_id(ids.EXECUTION)),
    field("point", choice(Point)),
    field("outcome", choice(Effect)),
    field("reason_codes", TEXTS),
    field("policy_version_id", maybe_public_id(ids.POLICY_VERSION), description="The version whose rule decided."),
    field("matched", OBJECTS, description="The deciding rules."),
    field("errors", OBJECTS, _errors, description="Rules that failed; one is enough to deny."),
    field("versions", OBJECTS, description="Every evaluated version with its scope."),
    field("list_versions", OBJECT),
    field("approvals", MAYBE_OBJECT),
    field("trace", OBJECTS),
    field("facts", OBJECT, stored_facts, description="Facts of the decision; lists by version only."),
    field("facts_sha256", CANONICAL_SHA256),
    field("explanation", TEXTS, explanation_of, description="Explanation in sentences, outcome first."),
    field("engine", TEXT),
    field("duration_us", INTEGER),
    field("created_at", INSTANT),
)
