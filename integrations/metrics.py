"""How many executions are open."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Count, Min

from integrations.models import OPEN_EXECUTION_STATUSES, Execution
from threada_site.kernel import clock
from threada_site.kernel.measurements import Measurement


def execution_measurements() -> Iterator[Measurement]:
    """Open executions by status; every open status is there, also at 0."""
    rows = Execution.objects.filter(status__in=OPEN_EXECUTION_STATUSES).values_list("status").annotate(Count("id"))
    counts = dict(rows)
    for status in OPEN_EXECUTION_STATUSES:
        yield Measurement(
            "threada_executions_open", "Executions that have not ended.", counts.get(status, 0), (("status", status),)
        )
    due = Execution.objects.filter(status="started", held_by__isnull=True, ready_at__lte=clock.now())
    oldest = due.aggregate(oldest=Min("ready_at"))["oldest"]
    age = (clock.now() - oldest).total_seconds() if oldest else 0.0
    yield Measurement("threada_executions_due", "Executions that wait for their turn.", due.count())
    yield Measurement("threada_executions_oldest_due_seconds", "How long the oldest of them has waited.", age)
