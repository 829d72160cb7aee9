"""How many decisions wait for people."""

from __future__ import annotations

from collections.abc import Iterator

from threada_site.kernel.measurements import Measurement
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, WorkItem


def step_measurements() -> Iterator[Measurement]:
    """Pending decision steps, and work items that wait in vain."""
    pending = DecisionStep.objects.filter(status=StepStatus.PENDING).count()
    yield Measurement("threada_decision_steps_pending", "Decision steps that wait for votes.", pending)
    stuck = WorkItem.objects.filter(nobody_can_decide=True).count()
    yield Measurement("threada_work_items_nobody_can_decide", "Work items that nobody there is can decide.", stuck)
