"""Sending of one message: leased in one transaction, sent outside of transactions, closed in another."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.conf import settings
from django.utils import translation

from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.kernel.keyring import Undecryptable
from workitems.notices.chat import send_chat
from workitems.notices.conversation import actor_of
from workitems.notices.mail import send_mail
from workitems.notices.messages import Taken, mark_handed_over, settle_failed, settle_sent, take_message
from workitems.notices.preferences import chat_address_of, zone_of
from workitems.notices.rendering import letter_of, mail_of
from workitems.notices.rules import Channel, SendFailure

log = structlog.get_logger("threada.notices")


class _TakenOver(Exception):
    """Another worker has the lease of the message."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """Time zone and chat address (service, address) of a recipient, and the name of the person who wrote.

    `chat` is None if it cannot be decrypted.
    """

    zone: str
    actor: str
    chat: tuple[str, str] | None


def send_message(message_id: uuid.UUID, *, ctx: ActingContext, rng: random.Random) -> None:
    """Send a due message. Opens its own units of work; safe to run twice and concurrently."""
    with unit_of_work(ctx.tenant_id):
        taken = take_message(message_id, now=clock.now(), ctx=ctx)
        reader = _reader(taken, ctx=ctx) if taken else None
    if taken is None or reader is None:
        return
    failure: SendFailure | None = None
    try:
        _send(taken, reader, ctx=ctx)
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


def _send(taken: Taken, reader: _Reader, *, ctx: ActingContext) -> None:
    with translation.override(taken.message.recipient.language or settings.LANGUAGE_CODE):
        letter = letter_of(taken.message, tenant=ctx.tenant_slug, zone=reader.zone, actor=reader.actor)
    hand_over = _handing_over(taken, ctx=ctx)
    if taken.channel is Channel.MAIL:
        send_mail(mail_of(taken.message, letter, address=taken.wishes.mail_address), before=hand_over)
        return
    if reader.chat is None:
        detail = "The chat address cannot be decrypted because the secrets key has changed. Enter the address again."
        raise SendFailure("credential_unavailable", detail, is_final=True)
    service, address = reader.chat
    send_chat(letter.brief, title=letter.subject, service=service, address=address, before=hand_over)


def _handing_over(taken: Taken, *, ctx: ActingContext) -> Callable[[], None]:
    def hand_over() -> None:
        with unit_of_work(ctx.tenant_id):
            if not mark_handed_over(taken, now=clock.now(), ctx=ctx):
                raise _TakenOver

    return hand_over


def _reader(taken: Taken, *, ctx: ActingContext) -> _Reader:
    person = taken.message.recipient
    chat = None
    if taken.channel is Channel.CHAT:
        try:
            chat = chat_address_of(person.id, tenant_id=ctx.tenant_id)
        except Undecryptable:
            chat = None
    return _Reader(zone_of(person, tenant_id=ctx.tenant_id), actor_of(taken.message.notice), chat)
