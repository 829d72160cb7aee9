"""Open questions to the requester of a work item, which end with the step or the item that they are about."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from threada_site.database.batched_writes import update_row
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from workitems.items.receipts import record_item
from workitems.lifecycle import WORK_ITEM, WorkItemStatus
from workitems.models import RequesterQuestion, WorkItem


def waits_for_requester(item: WorkItem) -> bool:
    """Return True if a question to the requester of an open item is open."""
    return item.open_questions > 0 and WORK_ITEM.is_open(WorkItemStatus(item.status))


def open_questions(item: WorkItem) -> QuerySet[RequesterQuestion]:
    """Return the open questions to the requester of an item, the oldest first."""
    rows = RequesterQuestion.objects.filter(tenant_id=item.tenant_id, work_item=item, status="open")
    return rows.order_by("id")


def close_questions(item: WorkItem, *, ctx: ActingContext) -> None:
    """Close the open questions of a locked item whose step was decided, or that ended. Receipt `question.closed`."""
    for question in open_questions(item).select_for_update():
        end_question(item, question, "closed", ctx=ctx)


def end_question(
    item: WorkItem, question: RequesterQuestion, status: str, *, ctx: ActingContext, **inputs: Any
) -> None:
    """Move a locked open question to its final status. The caller has set and saves the other columns of an answer."""
    question.status = status
    question.ended_at = clock.now()
    question.save(update_fields=["status", "ended_at", "answer", "answer_salt", "answered_by", "answered_version"])
    item.open_questions = max(0, item.open_questions - 1)
    update_row(item, "open_questions")
    record_item(
        f"question.{status}",
        item,
        ctx=ctx,
        inputs={"question_id": question.public_id, **inputs},
        outcome={"status": item.status, "question_status": status},
    )
