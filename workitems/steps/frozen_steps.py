"""Whether a step stands still: nothing happens to it by the passing of time then, but votes are taken."""

from __future__ import annotations

from integrations.services.freezes import freeze_on, freezes_in_force
from workitems.models import DecisionStep


def is_frozen(step: DecisionStep) -> bool:
    """Whether a freeze covers a step."""
    in_force = freezes_in_force(step.tenant_id)
    return bool(in_force) and freeze_on(in_force, **place_of(step)) is not None


def place_of(step: DecisionStep) -> dict[str, str]:
    """What freezes are held against: the step's workflow, and the action it is about."""
    execution = step.execution
    about = {"integration": execution.integration, "action": execution.action} if execution else {}
    return {"workflow": step.workflow, **about}
