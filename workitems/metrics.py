"""Metrics of decision steps and notices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from django.db import connection

from threada_site.kernel import clock
from threada_site.kernel.metrics import Metric
from workitems.lifecycle import StepStatus
from workitems.models import ConfigurationBaseline, DecisionStep, NoticeMessage, WorkItem
from workitems.notices.rules import Channel, MessageStatus


def step_metrics() -> Iterator[Metric]:
    """Yield the numbers of pending decision steps and of work items that nobody can decide."""
    pending = DecisionStep.objects.filter(status=StepStatus.PENDING).count()
    yield Metric("threada_decision_steps_pending", "Decision steps that wait for votes.", pending)
    stuck = WorkItem.objects.filter(nobody_can_decide=True).count()
    yield Metric("threada_work_items_nobody_can_decide", "Work items whose pending step no member can complete.", stuck)


def drift_metrics() -> Iterator[Metric]:
    """Yield the number of documents that differ from what was last applied from files."""
    drifted = sum(len(names) for names in ConfigurationBaseline.objects.values_list("drifted", flat=True))
    text = "Configuration documents that differ from what was last applied from files."
    yield Metric("threada_configuration_drifted_documents", text, drifted)


def notice_metrics() -> Iterator[Metric]:
    """Yield the numbers of unsent notices and messages, and of failed messages of the last day."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(*), coalesce(extract(epoch FROM now() - min(at)), 0)
              FROM (SELECT created_at AS at FROM workitems_notice WHERE addressed_at IS NULL
                    UNION ALL SELECT created_at FROM workitems_noticemessage WHERE due_at IS NOT NULL) unsent
            """
        )
        unsent, oldest = cursor.fetchone()
    yield Metric("threada_notices_unsent", "Notices and messages that are not sent yet.", unsent)
    yield Metric(
        "threada_notices_unsent_oldest_seconds", "Age of the oldest unsent notice or message.", max(float(oldest), 0.0)
    )
    given_up = NoticeMessage.objects.filter(
        status__in=[MessageStatus.FAILED, MessageStatus.UNKNOWN], settled_at__gt=clock.now() - timedelta(days=1)
    )
    counts = Counter(given_up.values_list("channel", flat=True))
    for channel in Channel:
        labels = (("channel", channel.value),)
        text = "Messages of the last day that failed or whose outcome is unknown."
        yield Metric("threada_notices_failed", text, counts[channel.value], labels)
