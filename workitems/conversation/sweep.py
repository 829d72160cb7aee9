"""Sweep over the open questions of all tenants: those that are overdue, and those whose work item has ended."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final

import structlog
from django.db.models import Q

from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import system_context
from workitems.conversation.questions import expire_question
from workitems.lifecycle import WORK_ITEM
from workitems.models import RequesterQuestion, WorkItem

_AT_ONCE: Final = 200

log = structlog.get_logger("threada.sweeps")


def sweep_questions(*, now: datetime) -> int:
    """Expire overdue questions and close those of ended items, each in its own transaction. Return how many."""
    with platform_role():
        due = Q(expires_at__lte=now) | Q(work_item__status__in=WORK_ITEM.ends)
        rows = RequesterQuestion.objects.filter(due, status="open").order_by("expires_at")
        found = list(rows.values_list("tenant_id", "tenant__slug", "work_item_id", "id")[:_AT_ONCE])
    ended = 0
    for tenant_id, slug, item_id, question_id in found:
        try:
            with unit_of_work(tenant_id):
                ended += _end(tenant_id, slug, item_id, question_id, now=now)
        except Exception:  # a failure of one question must not stop the others
            log.exception("question_not_ended", question=str(question_id))
    return ended


def _end(tenant_id: uuid.UUID, slug: str, item_id: uuid.UUID, question_id: uuid.UUID, *, now: datetime) -> bool:
    """Lock the item, then the question, as every service does. Rows that are locked elsewhere are skipped."""
    ctx = system_context(tenant_id=tenant_id, tenant_slug=slug, correlation_id=uuid.uuid4().hex)
    item = (
        WorkItem.objects.select_for_update(of=("self",), skip_locked=True)
        .filter(tenant_id=tenant_id, id=item_id)
        .select_related("workflow_version", "requester")
        .first()
    )
    question = RequesterQuestion.objects.select_for_update().filter(tenant_id=tenant_id, id=question_id).first()
    return item is not None and question is not None and expire_question(item, question, now=now, ctx=ctx)
