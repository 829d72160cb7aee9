"""A message's way: taken by one worker at a time, marked before it is handed over, and settled once.

At most once where it matters: a message that was handed over is not sent again, whatever becomes of the worker. Before
that it may be taken again as often as it needs. See docs/adr/0020.
"""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.members import members
from workitems import selectors
from workitems.lifecycle import StepStatus
from workitems.models import NoticeMessage, Vote
from workitems.notices.addressing import enqueue_sending
from workitems.notices.preferences import is_set_up, wishes_of
from workitems.notices.rules import (
    LEASE,
    MESSAGE,
    OPEN,
    Channel,
    Event,
    MessageStatus,
    SendFailure,
    Wishes,
    is_overtaken,
    is_stale,
    reason_to_skip,
    wait_before_next,
)


@dataclass(frozen=True, slots=True)
class Taken:
    """The right to hand one message over, once. `message` carries notice, step and recipient."""

    message: NoticeMessage
    wishes: Wishes

    @property
    def channel(self) -> Channel:
        return Channel(self.message.channel)


def take_message(message_id: uuid.UUID, *, now: datetime, ctx: ActingContext) -> Taken | None:
    """The message, leased to the caller; None when it is not due, another worker has it, or nothing is to be sent.

    What was handed over by a worker that is lost becomes `unknown`. Wishes, membership and step are looked at as they
    are now: whoever has decided meanwhile, or wants no more messages, gets none.
    """
    require_unit_of_work(ctx.tenant_id)
    message = (
        NoticeMessage.objects.select_for_update(of=("self",))
        .filter(tenant_id=ctx.tenant_id, id=message_id, status__in=[status.value for status in OPEN], due_at__lte=now)
        .select_related("notice__step__work_item", "notice__step__execution", "recipient")
        .first()
    )
    if message is None:
        return None
    if message.handed_over_at is not None:
        detail = "The worker was lost after it had handed the message over."
        _close(message, MessageStatus.UNKNOWN, now=now, reason="message_unconfirmed", detail=detail)
        return None
    if message.attempts >= settings.THREADA_NOTICE_TRIES:
        reason = message.reason or "worker_lost"
        _close(message, MessageStatus.FAILED, now=now, reason=reason, detail=message.detail)
        return None
    person = message.recipient_id
    wishes = wishes_of([person], tenant_id=ctx.tenant_id).get(person, Wishes())
    skip = _reason_to_skip(message, wishes, now=now)
    if skip:
        _close(message, MessageStatus.SKIPPED, now=now, reason=skip)
        return None
    _move(message, MessageStatus.SENDING)
    message.attempts += 1
    message.fence += 1
    message.due_at = now + LEASE
    message.save(update_fields=["status", "attempts", "fence", "due_at"])
    return Taken(message, wishes)


def mark_handed_over(taken: Taken, *, now: datetime, ctx: ActingContext) -> bool:
    """Note that the message leaves now, and renew the lease. False when another worker has taken it meanwhile."""
    require_unit_of_work(ctx.tenant_id)
    rows = NoticeMessage.objects.filter(
        tenant_id=ctx.tenant_id,
        id=taken.message.id,
        fence=taken.message.fence,
        status=MessageStatus.SENDING,
        handed_over_at=None,
    )
    return bool(rows.update(handed_over_at=now, due_at=now + LEASE))


def settle_sent(taken: Taken, *, now: datetime, ctx: ActingContext) -> None:
    """The server has taken it. Holds also when it was given up as `unknown` meanwhile."""
    message = _still_ours(taken, ctx=ctx)
    if message is not None:
        _close(message, MessageStatus.SENT, now=now)


def settle_failed(taken: Taken, failure: SendFailure, *, now: datetime, ctx: ActingContext, rng: random.Random) -> None:
    """It was not taken, or nobody knows: it is tried again, is given up, or stays unknown."""
    message = _still_ours(taken, ctx=ctx)
    if message is None:
        return
    if failure.is_ambiguous:
        if message.status != MessageStatus.UNKNOWN:
            _close(message, MessageStatus.UNKNOWN, now=now, reason=failure.failure, detail=failure.detail)
        return
    wait = wait_before_next(failure, attempts=message.attempts, most=settings.THREADA_NOTICE_TRIES, rng=rng)
    if wait is None:
        _close(message, MessageStatus.FAILED, now=now, reason=failure.failure, detail=failure.detail)
        return
    _move(message, MessageStatus.DUE)
    message.reason, message.detail = failure.failure, failure.detail[:500]
    message.due_at = now + timedelta(seconds=wait)
    message.handed_over_at = message.settled_at = None
    message.save(update_fields=["status", "reason", "detail", "due_at", "handed_over_at", "settled_at"])
    enqueue_sending(message, run_at=message.due_at)


def send_again(message_id: uuid.UUID, *, now: datetime, ctx: ActingContext) -> NoticeMessage:
    """Have a message tried again that failed for good, unless it is overtaken by then. Receipt `message.retried`.

    Raises `NotFound`, and `TransitionNotAllowed` for any other: what may have arrived is never sent twice.
    """
    require_unit_of_work(ctx.tenant_id)
    message = selectors.notice_messages(ctx).select_for_update(of=("self",)).filter(id=message_id).first()
    if message is None:
        raise errors.NotFound
    if message.status != MessageStatus.FAILED:
        raise errors.TransitionNotAllowed(
            f"A message that is {message.status} is not tried again: only one that failed."
        )
    _move(message, MessageStatus.DUE)
    message.attempts, message.due_at = 0, now
    message.handed_over_at = message.settled_at = None
    message.save(update_fields=["status", "attempts", "due_at", "handed_over_at", "settled_at"])
    enqueue_sending(message)
    record(Entry(kind="message.retried", inputs={"message_id": message.public_id}), ctx=ctx)
    return message


def _reason_to_skip(message: NoticeMessage, wishes: Wishes, *, now: datetime) -> str:
    notice = message.notice
    step, event, channel = notice.step, Event(notice.kind), Channel(message.channel)
    if not members(message.tenant_id, among=[message.recipient_id], humans_only=True):
        return "notice_recipient_gone"
    has_voted = Vote.objects.filter(tenant_id=message.tenant_id, step=step, voter=message.recipient_id).exists()
    if is_overtaken(event, is_pending=step.status == StepStatus.PENDING, has_voted=has_voted):
        return "notice_overtaken"
    if is_stale(notice.created_at, now=now):
        return "notice_outdated"
    return reason_to_skip(event, channel, wishes, is_set_up=is_set_up(channel))


def _still_ours(taken: Taken, *, ctx: ActingContext) -> NoticeMessage | None:
    require_unit_of_work(ctx.tenant_id)
    return (
        NoticeMessage.objects.select_for_update()
        .filter(
            tenant_id=ctx.tenant_id,
            id=taken.message.id,
            fence=taken.message.fence,
            status__in=[MessageStatus.SENDING, MessageStatus.UNKNOWN],
        )
        .first()
    )


def _close(message: NoticeMessage, to: MessageStatus, *, now: datetime, reason: str = "", detail: str = "") -> None:
    _move(message, to)
    message.reason, message.detail = reason, detail[:500]
    message.due_at, message.settled_at = None, now
    message.save(update_fields=["status", "reason", "detail", "due_at", "settled_at"])


def _move(message: NoticeMessage, to: MessageStatus) -> None:
    MESSAGE.check_transition(MessageStatus(message.status), to)
    message.status = to.value
