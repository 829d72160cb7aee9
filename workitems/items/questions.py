"""Questions of decision steps, as displayed. The envelope contains only a question that was given explicitly."""

from __future__ import annotations

from django.utils.translation import gettext as _

from workitems.lifecycle import StepKind
from workitems.models import DecisionStep


def question_of(step: DecisionStep) -> str:
    """Return the question of a step in one sentence."""
    if step.question:
        return str(step.question)
    if step.execution is not None:
        return _("Should {action} be executed on {integration}?").format(
            action=step.execution.action, integration=step.execution.integration
        )
    if step.kind == StepKind.REVIEW:
        return _("Is this {workflow} request in order?").format(workflow=step.workflow)
    return _("Should this {workflow} request go ahead?").format(workflow=step.workflow)
