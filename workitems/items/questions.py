"""What a decision step asks, in one sentence. Pages word it; the envelope seals what is meant."""

from __future__ import annotations

from workitems.lifecycle import StepKind
from workitems.models import DecisionStep


def question_of(step: DecisionStep) -> str:
    """What is asked, in one sentence."""
    if step.question:
        return str(step.question)
    if step.execution is not None:
        return f"Should {step.execution.action} be carried out on {step.execution.integration}?"
    if step.kind == StepKind.REVIEW:
        return f"Is this {step.workflow} request in order?"
    return f"Should this {step.workflow} request go ahead?"
