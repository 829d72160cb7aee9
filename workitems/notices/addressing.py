"""Addressing of notices: find the recipients, and create one message per recipient and channel.

Recipients are computed when the notice is addressed, so that people who joined a role after the event are included
and no request waits for the computation. Recipients of a step who see only their own work items see this one from then
on; a conversation shows it to nobody. Nobody is notified about their own actions.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from threada_site.database.batched_writes import batched_writes, insert_rows
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.jobs.enqueue import NOTICE_QUEUE, enqueue
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.members import members
from threada_site.tenancy.models import User
from workitems.approvers.participants import add_participants
from workitems.approvers.step_votes import read_step_votes, votes_on
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, Notice, NoticeMessage
from workitems.notices.conversation import concerned_without_step, end_watches, readers_of_notice, watchers_of
from workitems.notices.preferences import is_set_up, wishes_of
from workitems.notices.rules import Channel, Event, MessageStatus, Wishes, channels_of, is_stale, reason_to_skip

SEND: Final = "workitems.send_message"
"""Name of the task that sends a message; its argument is `message_id`."""
_TOGETHER: Final = 50
_MOST_COUNTED: Final = 1000


def address_notice(notice_id: uuid.UUID, *, now: datetime, ctx: ActingContext) -> list[NoticeMessage]:
    """Create the messages of a notice and the jobs that send them. A second call does nothing."""
    require_unit_of_work(ctx.tenant_id)
    notice = (
        Notice.objects.select_for_update(of=("self",))
        .filter(tenant_id=ctx.tenant_id, id=notice_id, addressed_at=None)
        .select_related("work_item__workflow_version", "step__work_item__workflow_version", "step__execution")
        .first()
    )
    if notice is None:
        return []
    concerned = set() if is_stale(notice.created_at, now=now) else _concerned(notice)
    messages, ahead = _messages(notice, concerned, now=now), open_messages(ctx.tenant_id)
    for start in range(0, len(messages), _TOGETHER):
        together = messages[start : start + _TOGETHER]
        with batched_writes():
            insert_rows(*together)
            for message in together:
                if message.due_at is not None:
                    enqueue_sending(message, ahead=ahead)
                    ahead += 1
    notice.addressed_at = now
    notice.save(update_fields=["addressed_at"])
    return messages


def open_messages(tenant_id: uuid.UUID) -> int:
    """Return the number of messages of a tenant that are not closed, up to a limit."""
    return NoticeMessage.objects.filter(tenant_id=tenant_id, due_at__isnull=False)[:_MOST_COUNTED].count()


def enqueue_sending(message: NoticeMessage, *, ahead: int, run_at: datetime | None = None) -> None:
    """Enqueue the sending of a message, at `run_at` at the earliest.

    `ahead`: messages of the tenant that are sent before. The first message of every tenant comes before the second of
    any, so that a chat service that hangs delays the messages of other tenants by one call.
    """
    enqueue(
        SEND,
        tenant_id=message.tenant_id,
        queue=NOTICE_QUEUE,
        priority=-ahead,
        run_at=run_at,
        message_id=str(message.id),
    )


def _concerned(notice: Notice) -> set[uuid.UUID]:
    step = notice.step
    if step is None:
        return concerned_without_step(notice)
    if notice.recipient_ids is not None:
        found = set(notice.recipient_ids)
    elif notice.kind == Event.DECIDED:
        found = _who_took_part(step) | watchers_of(notice.work_item)
    else:
        found = _who_is_waited_for(step) - _who_was_asked(notice)
    actor = ids.parse_public_id(ids.PRINCIPAL, str(notice.facts.get("actor", "")))
    return found - {actor} if actor else found


def _who_is_waited_for(step: DecisionStep) -> set[uuid.UUID]:
    """Return the approvers who can vote now and have not voted."""
    if step.status != StepStatus.PENDING:
        return set()
    votes = read_step_votes(step, workflow_id=step.work_item.workflow_version.workflow_id)
    return votes.can_vote_ids()


def _who_was_asked(notice: Notice) -> set[uuid.UUID]:
    """Return the approvers who were notified when an earlier stage of the step opened."""
    if notice.kind != Event.ASSIGNED:
        return set()
    asked = NoticeMessage.objects.filter(
        tenant_id=notice.tenant_id,
        notice__step_id=notice.step_id,
        notice__kind=Event.ASSIGNED.value,
        notice__recipient_ids=None,
    )
    return set(asked.values_list("recipient_id", flat=True))


def _who_took_part(step: DecisionStep) -> set[uuid.UUID]:
    """Return the requesters of the item and its execution, and the voters."""
    item = step.work_item
    asked = {item.requester_id, item.submitted_by_id}
    if step.execution is not None:
        asked.add(step.execution.requested_by)
    return asked | {vote.voter_id for vote in votes_on(step)}


def _messages(notice: Notice, concerned: Iterable[uuid.UUID], *, now: datetime) -> list[NoticeMessage]:
    people = set(User.objects.filter(id__in=concerned, kind="human").values_list("id", flat=True))
    present = members(notice.tenant_id, among=people, humans_only=True) if people else []
    if notice.step is None:
        end_watches(notice.work_item, people, present)
        present = readers_of_notice(notice, present)
        people = {member.id for member in present}
    elif notice.kind != Event.DECIDED:
        add_participants(notice.work_item, present)
    here = {member.id for member in present}
    wishes = wishes_of(here, tenant_id=notice.tenant_id)
    found = []
    for person in sorted(people):
        if person not in here:
            found.append(_message(notice, person, Channel.MAIL, "notice_recipient_gone", now=now))
            continue
        theirs = wishes.get(person, Wishes())
        for channel in channels_of(theirs):
            skip = reason_to_skip(Event(notice.kind), channel, theirs, is_set_up=is_set_up(channel))
            found.append(_message(notice, person, channel, skip, now=now))
    return found


def _message(notice: Notice, person: uuid.UUID, channel: Channel, skip: str, *, now: datetime) -> NoticeMessage:
    return NoticeMessage(
        tenant_id=notice.tenant_id,
        notice_id=notice.id,
        recipient_id=person,
        channel=channel.value,
        status=(MessageStatus.SKIPPED if skip else MessageStatus.DUE).value,
        reason=skip,
        due_at=None if skip else now,
        settled_at=now if skip else None,
    )
