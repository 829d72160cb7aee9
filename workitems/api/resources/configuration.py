"""Resources of plans and of applied configuration documents."""

from __future__ import annotations

from typing import Any, Final

from threada_site.api.resources.field_types import BOOLEAN, COUNT, SHA256, TEXT, array, choice, inline
from threada_site.api.resources.resource import Resource, field
from workitems.configuration.kinds import KINDS

_KIND: Final = field("kind", choice(KINDS), "kind", description="Kind of the document.")
_NAME: Final = field("name", TEXT, "name", description="Id of the object; of an overlay, policy and scope.")


def _key(name: str) -> Any:
    return lambda entry: entry[name]


_CHANGE: Final = inline(
    field("kind", choice(KINDS), _key("kind"), description="Kind of the document."),
    field("name", TEXT, _key("name"), description="Id of the object; of an overlay, policy and scope."),
    field("change", choice(("created", "changed", "removed")), _key("change"), description="Effect of the documents."),
    field("difference", TEXT, _key("difference"), description="Unified diff of the spec; empty for a new object."),
)
_WARNING: Final = inline(
    field("detail", TEXT, description="`file:line:column: pointer: sentence`."),
    field("pointer", TEXT, description="JSON pointer into the document."),
    field("code", TEXT, description="Code of the warning."),
)
_WARNINGS: Final = field("warnings", array(_WARNING), description="Probable mistakes. Errors with `strict`.")

CONFIGURATION_PLAN: Final = Resource(
    "ConfigurationPlan",
    field("digest", SHA256, "digest", description="Send it to apply exactly this plan."),
    field("has_changes", BOOLEAN, lambda plan: bool(plan.outcome.changes), description="Something would change."),
    field(
        "needs_confirmation",
        BOOLEAN,
        "outcome.needs_confirmation",
        description="Applying it makes a change set that an independent person publishes.",
    ),
    field("documents", COUNT, lambda plan: len(plan.outcome.applied), description="Number of documents, with packs'."),
    field("changes", array(_CHANGE), "outcome.differences", description="What would change, in this order."),
    field(
        "left",
        array(inline(_KIND, _NAME)),
        "outcome.left",
        description="In force, and in no document.",
    ),
    field("warnings", array(_WARNING), "outcome.warnings", description="Probable mistakes. Errors with `strict`."),
    example={
        "digest": "0" * 64,
        "has_changes": True,
        "needs_confirmation": False,
        "documents": 1,
        "changes": [{"kind": "Channel", "name": "web_main", "change": "created", "difference": ""}],
        "left": [],
        "warnings": [],
    },
)
CONFIGURATION_APPLIED: Final = Resource(
    "ConfigurationApplied",
    field("documents", COUNT, lambda outcome: len(outcome.applied), description="Number of documents, with packs'."),
    field("changes", array(_CHANGE), "differences", description="What changed, in this order."),
    _WARNINGS,
    example={
        "documents": 1,
        "changes": [{"kind": "Channel", "name": "web_main", "change": "created", "difference": ""}],
        "warnings": [],
    },
)
