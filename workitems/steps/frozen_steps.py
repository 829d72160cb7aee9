"""Frozen steps: deadlines do not apply while a freeze covers the step, but votes are accepted."""

from __future__ import annotations

from integrations.freezes.block import freeze_on, freezes_in_force, place_of_execution
from integrations.freezes.scope import Place
from workitems.models import DecisionStep


def is_frozen(step: DecisionStep) -> bool:
    """Return True if a freeze covers the step."""
    in_force = freezes_in_force(step.tenant_id)
    return bool(in_force) and freeze_on(in_force, place_of(step)) is not None


def place_of(step: DecisionStep) -> Place:
    """Return the place of the step, to be compared with the scopes of freezes."""
    return Place(step.workflow) if step.execution is None else place_of_execution(step.execution)
