"""Questions of decision steps, as displayed. The envelope contains only a question that was given explicitly."""

from __future__ import annotations

from workitems.lifecycle import StepKind
from workitems.models import DecisionStep


def question_of(step: DecisionStep) -> str:
    """Return the question of a step in one sentence."""
    if step.question:
        return str(step.question)
    if step.execution is not None:
        return f"Should {step.execution.action} be executed on {step.execution.integration}?"
    if step.kind == StepKind.REVIEW:
        return f"Is this {step.workflow} request in order?"
    return f"Should this {step.workflow} request go ahead?"
