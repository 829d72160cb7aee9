"""Resources of what a work item or a decision step waits for."""

from __future__ import annotations

from typing import Any, Final

from threada_site.api.resources.field_types import MAYBE_INSTANT, MAYBE_SLUG, array, choice, maybe, public_id
from threada_site.api.resources.resource import FieldType, Resource, field
from threada_site.kernel import ids
from workitems.approvers.count_votes import Need
from workitems.explain.waits import WaitsFor


def _represent_need(need: Need) -> dict[str, Any]:
    """Return the votes that a step still needs: `{role|group|user|scope: name, missing}`."""
    return {need.leaf.kind: need.leaf.name, "missing": need.missing}


def _of_execution(name: str) -> Any:
    return lambda wait: getattr(wait.execution, name, None)


NEED: Final = FieldType(
    {"type": "object", "properties": {"missing": {"type": "integer"}}, "required": ["missing"]}, _represent_need
)
WAIT: Final = Resource(
    "Wait",
    field("waits_for", choice(WaitsFor), description="Who or what has to act next."),
    field("decision_step_id", maybe(public_id(ids.DECISION_STEP)), "step_id"),
    field("people", array(NEED), "needs", description="Missing votes of the decision step."),
    field("execution_id", maybe(public_id(ids.EXECUTION)), _of_execution("id")),
    field("integration_id", MAYBE_SLUG, _of_execution("integration")),
    field("action_id", MAYBE_SLUG, _of_execution("action")),
    field("ends_at", MAYBE_INSTANT, description="Time at which the wait ends by itself, or null."),
    example={
        "waits_for": "callback",
        "decision_step_id": None,
        "people": [],
        "execution_id": "ex_01k9zq7a5we8hs2r3t4v5w6x7y",
        "integration_id": "int_bank",
        "action_id": "pay",
        "ends_at": "2026-01-31T10:30:00.000Z",
    },
)
