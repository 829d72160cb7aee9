"""Frozen steps: deadlines do not apply while a freeze covers the step, but votes are accepted."""

from __future__ import annotations

from integrations.freezes.block import freeze_on, freezes_in_force
from workitems.models import DecisionStep


def is_frozen(step: DecisionStep) -> bool:
    """Return True if a freeze covers the step."""
    in_force = freezes_in_force(step.tenant_id)
    return bool(in_force) and freeze_on(in_force, **place_of(step)) is not None


def place_of(step: DecisionStep) -> dict[str, str]:
    """Return the workflow, integration and action of the step, to be compared with the scopes of freezes."""
    execution = step.execution
    about = {"integration": execution.integration, "action": execution.action} if execution else {}
    return {"workflow": step.workflow, **about}
