"""Notices about a step, a conversation or an overdue undo, recorded once, with their job, in the event's transaction.

Recipients are found and messages are sent by jobs after the commit.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Any, Final, Literal

from threada_site.database.batched_writes import batched_writes, insert_rows
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.jobs.enqueue import NOTICE_QUEUE, enqueue
from threada_site.kernel.context import ActingContext
from workitems.models import DecisionStep, Notice, WorkItem
from workitems.notices.rules import Event

type NoticeKind = Literal["assigned", "reminder", "escalated", "decided"]
type ConversationKind = Literal["commented", "mentioned", "question", "answer"]

ADDRESS: Final = "workitems.address_notice"
"""Name of the task that addresses a notice; its argument is `notice_id`."""


def notice(
    kind: NoticeKind,
    step: DecisionStep,
    recipients: Collection[uuid.UUID] | None,
    ctx: ActingContext,
    *,
    occurrence: str = "",
    **facts: Any,
) -> None:
    """Record that `recipients` (None: every pending approver) must be notified of an event of `step`.

    `occurrence` distinguishes events of one kind; an event that was recorded already is not changed. `facts` are JSON
    values about the event (actor, reason), never the payload.
    """
    require_unit_of_work(ctx.tenant_id)
    where = {"work_item_id": step.work_item_id, "step_id": step.id}
    _insert(kind, where, recipients, ctx, occurrence=occurrence, facts=facts)


def conversation_notice(
    kind: ConversationKind,
    item: WorkItem,
    recipients: Collection[uuid.UUID] | None,
    ctx: ActingContext,
    *,
    occurrence: str,
    **facts: Any,
) -> None:
    """Record that `recipients` (None: watchers and participants) must be notified of an event of the conversation.

    Only those who may read the item, and whom the fact `hidden_from` does not name, get a message. `facts` are JSON
    values, never texts.
    """
    require_unit_of_work(ctx.tenant_id)
    _insert(kind, {"work_item_id": item.id}, recipients, ctx, occurrence=occurrence, facts=facts)


def overdue_notice(item: WorkItem, ctx: ActingContext, *, occurrence: str, **facts: Any) -> None:
    """Record that the people who manage the workflow of `item` must be notified of an undo that has not ended."""
    require_unit_of_work(ctx.tenant_id)
    _insert(Event.UNDO_OVERDUE.value, {"work_item_id": item.id}, None, ctx, occurrence=occurrence, facts=facts)


def _insert(
    kind: str,
    where: Mapping[str, uuid.UUID],
    recipients: Collection[uuid.UUID] | None,
    ctx: ActingContext,
    *,
    occurrence: str,
    facts: Mapping[str, Any],
) -> None:
    row = Notice(
        tenant_id=ctx.tenant_id,
        **where,
        kind=kind,
        occurrence=occurrence,
        recipient_ids=None if recipients is None else sorted(recipients),
        facts={"actor": ctx.actor, **facts},
        correlation_id=ctx.correlation_id,
    )
    with batched_writes():
        insert_rows(row, ignore_conflicts=True)
        enqueue(ADDRESS, tenant_id=row.tenant_id, queue=NOTICE_QUEUE, notice_id=str(row.id))
