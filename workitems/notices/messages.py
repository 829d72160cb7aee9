"""States of a message: leased by one worker, marked before it is handed over, closed once.

A message is handed over at most once: after the mark it is not sent again, even if the worker is lost. Before the
mark it may be leased any number of times. See docs/adr/0020.
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
from workitems.notices.addressing import enqueue_sending, open_messages
from workitems.notices.conversation import is_overtaken_without_step, readers_of_notice
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
    """Right to hand over one message once. `message` has notice, step and recipient loaded."""

    message: NoticeMessage
    wishes: Wishes

    @property
    def channel(self) -> Channel:
        return Channel(self.message.channel)


def take_message(message_id: uuid.UUID, *, now: datetime, ctx: ActingContext) -> Taken | None:
    """Lease the message and return it; None if it is not due, leased by another worker, or must not be sent.

    A message that a lost worker had handed over becomes `unknown`. Preferences, membership and step are read again,
    so that people who voted or unsubscribed meanwhile get no message.
    """
    require_unit_of_work(ctx.tenant_id)
    message = (
        NoticeMessage.objects.select_for_update(of=("self",))
        .filter(tenant_id=ctx.tenant_id, id=message_id, status__in=[status.value for status in OPEN], due_at__lte=now)
        .select_related("notice__work_item__workflow_version", "notice__step__execution", "recipient")
        .first()
    )
    if message is None:
        return None
    if message.handed_over_at is not None:
        detail = "The worker was lost after it had handed over the message."
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
    """Mark the message as handed over and renew the lease. Return False if another worker has the lease."""
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
    """Close a message that the server accepted, even if it was closed as `unknown` meanwhile."""
    message = _still_ours(taken, ctx=ctx)
    if message is not None:
        _close(message, MessageStatus.SENT, now=now)


def settle_failed(taken: Taken, failure: SendFailure, *, now: datetime, ctx: ActingContext, rng: random.Random) -> None:
    """Schedule another attempt of a message, or close it as failed or unknown."""
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
    enqueue_sending(message, ahead=open_messages(ctx.tenant_id), run_at=message.due_at)


def send_again(message_id: uuid.UUID, *, now: datetime, ctx: ActingContext) -> NoticeMessage:
    """Send a failed message again. Receipt `message.retried`.

    Raise `NotFound`, and `TransitionNotAllowed` for other states: a message that may have arrived is never sent
    twice.
    """
    require_unit_of_work(ctx.tenant_id)
    message = selectors.notice_messages(ctx).select_for_update(of=("self",)).filter(id=message_id).first()
    if message is None:
        raise errors.NotFound
    if message.status != MessageStatus.FAILED:
        raise errors.TransitionNotAllowed(
            f"A message with the status {message.status} cannot be sent again; only a failed one can."
        )
    _move(message, MessageStatus.DUE)
    message.attempts, message.due_at = 0, now
    message.handed_over_at = message.settled_at = None
    message.save(update_fields=["status", "attempts", "due_at", "handed_over_at", "settled_at"])
    enqueue_sending(message, ahead=open_messages(ctx.tenant_id))
    record(Entry(kind="message.retried", inputs={"message_id": message.public_id}), ctx=ctx)
    return message


def _reason_to_skip(message: NoticeMessage, wishes: Wishes, *, now: datetime) -> str:
    notice = message.notice
    step, event, channel = notice.step, Event(notice.kind), Channel(message.channel)
    found = members(message.tenant_id, among=[message.recipient_id], humans_only=True)
    if not found or (step is None and not readers_of_notice(notice, found)):
        return "notice_recipient_gone"
    if step is None:
        if is_overtaken_without_step(notice):
            return "notice_overtaken"
    else:
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
