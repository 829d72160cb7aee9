"""How many decisions wait for people."""

from __future__ import annotations

from collections.abc import Iterator

from threada_site.kernel.measurements import Measurement
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep


def step_measurements() -> Iterator[Measurement]:
    """Pending decision steps."""
    pending = DecisionStep.objects.filter(status=StepStatus.PENDING).count()
    yield Measurement("threada_decision_steps_pending", "Decision steps that wait for votes.", pending)
