"""How many decisions wait for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from django.db import connection

from threada_site.kernel import clock
from threada_site.kernel.metrics import Metric
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, NoticeMessage, WorkItem
from workitems.notices.rules import Channel, MessageStatus


def step_metrics() -> Iterator[Metric]:
    """Pending decision steps, and work items that wait in vain."""
    pending = DecisionStep.objects.filter(status=StepStatus.PENDING).count()
    yield Metric("threada_decision_steps_pending", "Decision steps that wait for votes.", pending)
    stuck = WorkItem.objects.filter(nobody_can_decide=True).count()
    yield Metric("threada_work_items_nobody_can_decide", "Work items that nobody there is can decide.", stuck)


def notice_metrics() -> Iterator[Metric]:
    """What people have not been told yet, and what they could not be told within the last day."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*), coalesce(extract(epoch FROM now() - min(at)), 0)
              FROM (SELECT created_at AS at FROM workitems_notice WHERE addressed_at IS NULL
                    UNION ALL SELECT created_at FROM workitems_noticemessage WHERE due_at IS NOT NULL) unsent
            """
        )
        unsent, oldest = cursor.fetchone()
    yield Metric("threada_notices_unsent", "Notices and messages that are still to be sent.", unsent)
    yield Metric("threada_notices_unsent_oldest_seconds", "The oldest of them.", max(float(oldest), 0.0))
    given_up = NoticeMessage.objects.filter(
        status__in=[MessageStatus.FAILED, MessageStatus.UNKNOWN], settled_at__gt=clock.now() - timedelta(days=1)
    )
    counts = Counter(given_up.values_list("channel", flat=True))
    for channel in Channel:
        labels = (("channel", channel.value),)
        text = "Messages of the last day that failed for good, or whose end is not known."
        yield Metric("threada_notices_failed", text, counts[channel.value], labels)
