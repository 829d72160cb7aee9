"""Sweep of unaddressed notices and due messages whose jobs were lost."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Final

from threada_site.database.roles import platform_role
from threada_site.jobs.enqueue import NOTICE_QUEUE, enqueue, live_jobs
from workitems.models import Notice, NoticeMessage
from workitems.notices.addressing import SEND
from workitems.notices.enqueue import ADDRESS

BATCH: Final = 500
OVERDUE: Final = timedelta(seconds=10)


def enqueue_due_notices(*, now: datetime) -> int:
    """Enqueue overdue notices and messages without a pending job. Return their number."""
    with platform_role():
        unaddressed = Notice.objects.filter(addressed_at=None, created_at__lte=now - OVERDUE).order_by("created_at")
        due = NoticeMessage.objects.filter(due_at__lte=now - OVERDUE).order_by("due_at")
        return sum(
            _enqueue_due(task, argument, list(rows.values_list("tenant_id", "id")[:BATCH]))
            for task, argument, rows in ((ADDRESS, "notice_id", unaddressed), (SEND, "message_id", due))
        )


def _enqueue_due(task: str, argument: str, found: list[Any]) -> int:
    live = live_jobs(task, argument, [str(row_id) for _, row_id in found])
    missing = [(tenant_id, row_id) for tenant_id, row_id in found if str(row_id) not in live]
    turns = Counter[uuid.UUID]()
    for tenant_id, row_id in missing:
        arguments: dict[str, Any] = {argument: str(row_id)}
        enqueue(task, tenant_id=tenant_id, queue=NOTICE_QUEUE, priority=-turns[tenant_id], **arguments)
        turns[tenant_id] += 1
    return len(missing)
