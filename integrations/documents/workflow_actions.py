"""Documents of the `workflow` connector: actions on the work item itself."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from integrations.documents.fields import Fields, nearest
from integrations.documents.grammar import Destination
from integrations.documents.model import WorkflowCall
from integrations.documents.templates import Place

ACTION_FIELDS: Final = {
    "request_approval": frozenset({"question", "approvals", "input_schema"}),
    "assign": frozenset({"to", "input_schema"}),
    "close": frozenset({"input_schema"}),
}


class WorkflowGrammar:
    spec_fields = frozenset({"connector", "actions"})

    def action_fields(self, slug: str) -> Collection[str] | None:
        return ACTION_FIELDS.get(slug)

    def read_spec(self, spec: Fields) -> Destination:
        return Destination()

    def read_call(self, slug: str, action: Fields, destination: Destination) -> WorkflowCall | None:
        return _read_call(slug, action)


def _read_call(slug: str, action: Fields) -> WorkflowCall | None:
    """Return the call of the action `slug`, or None (and record a problem) for an unknown name."""
    match slug:
        case "request_approval":
            if "question" in action:
                action.text("question")
            if "approvals" in action and not isinstance(action.raw("approvals"), dict):
                action.refuse("must be an object", "approvals", code="type")
            return WorkflowCall(
                "request_approval",
                question=action.template("question", Place.TEXT) if "question" in action else None,
                approvals=action.raw("approvals"),
            )
        case "assign":
            if action.text("to", required=True) is None:
                return None
            return WorkflowCall("assign", to=action.template("to"))
        case "close":
            return WorkflowCall("close")
    action.refuse(f"is no action of the workflow connector. {nearest(slug, ACTION_FIELDS)}", code="unknown_field")
    return None
