"""Sending one message: taken in one transaction, sent outside of any, settled in another."""

from __future__ import annotations

import random
import uuid

import structlog

from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.unit_of_work import unit_of_work
from workitems.notices.mail import send_mail
from workitems.notices.rendering import letter_of, mail_of
from workitems.notices.rules import SendFailure
from workitems.services.messages import Taken, mark_handed_over, settle_failed, settle_sent, take_message
from workitems.services.preferences import zone_of

log = structlog.get_logger("threada.notices")


class _TakenOver(Exception):
    """Another worker has the message by now."""


def send_message(message_id: uuid.UUID, *, ctx: ActingContext, rng: random.Random) -> None:
    """Send a message that is due. Opens its own units of work; may run twice, and at the same time."""
    with unit_of_work(ctx.tenant_id):
        taken = take_message(message_id, now=clock.now(), ctx=ctx)
        zone = zone_of(taken.message.recipient, tenant_id=ctx.tenant_id) if taken else ""
    if taken is None:
        return
    failure: SendFailure | None = None
    try:
        _send(taken, zone=zone, ctx=ctx)
    except _TakenOver:
        return
    except SendFailure as said:
        failure = said
        log.warning("message_not_sent", message=taken.message.public_id, reason=said.failure, detail=said.detail)
    with unit_of_work(ctx.tenant_id):
        if failure is None:
            settle_sent(taken, now=clock.now(), ctx=ctx)
        else:
            settle_failed(taken, failure, now=clock.now(), ctx=ctx, rng=rng)


def _send(taken: Taken, *, zone: str, ctx: ActingContext) -> None:
    letter = letter_of(taken.message, tenant=ctx.tenant_slug, zone=zone)

    def hand_over() -> None:
        with unit_of_work(ctx.tenant_id):
            if not mark_handed_over(taken, now=clock.now(), ctx=ctx):
                raise _TakenOver

    send_mail(mail_of(taken.message, letter, address=taken.wishes.mail_address), before=hand_over)
