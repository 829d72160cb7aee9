"""Rules of messages: recipients' preferences, reasons to skip, retries. Pure."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from threada_site.kernel.lifecycles import Lifecycle

STALE_AFTER: Final = timedelta(days=3)
"""Age above which an unsent message is skipped."""
LEASE: Final = timedelta(seconds=90)
LONGEST_WAIT_S: Final = 3600.0
LONGEST_ASKED_S: Final = 6 * 3600.0
_FIRST_WAIT_S: Final = 15.0


class Event(StrEnum):
    """Events that people are notified of."""

    ASSIGNED = "assigned"
    REMINDER = "reminder"
    ESCALATED = "escalated"
    DECIDED = "decided"
    COMMENTED = "commented"
    MENTIONED = "mentioned"
    QUESTION = "question"
    ANSWER = "answer"
    UNDO_OVERDUE = "undo_overdue"


CONVERSATION: Final = frozenset({Event.COMMENTED, Event.MENTIONED, Event.QUESTION, Event.ANSWER})
"""Events of the conversation about a work item."""
WITHOUT_STEP: Final = CONVERSATION | {Event.UNDO_OVERDUE}
"""Events that concern no decision step."""


class Channel(StrEnum):
    """Channels of messages."""

    MAIL = "mail"
    CHAT = "chat"


class MessageStatus(StrEnum):
    """Status of a message. `unknown`: it was handed over and not confirmed."""

    DUE = "due"
    SENDING = "sending"
    SENT = "sent"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNKNOWN = "unknown"


_S = MessageStatus
OPEN: Final = (_S.DUE, _S.SENDING)
MESSAGE: Final = Lifecycle(
    noun="a message",
    transitions=MappingProxyType(
        {
            _S.DUE: frozenset({_S.SENDING, _S.SKIPPED, _S.FAILED}),
            # To `sending`: another worker takes over from one that died before it handed the message over.
            _S.SENDING: frozenset({_S.SENDING, _S.SENT, _S.DUE, _S.SKIPPED, _S.FAILED, _S.UNKNOWN}),
            # The worker was only slow and reports its result late.
            _S.UNKNOWN: frozenset({_S.SENT, _S.FAILED, _S.DUE}),
            _S.SENT: frozenset(),
            _S.SKIPPED: frozenset(),
            # The cause was fixed and somebody requested another attempt.
            _S.FAILED: frozenset({_S.DUE}),
        }
    ),
    ends=frozenset({_S.SENT, _S.SKIPPED, _S.FAILED, _S.UNKNOWN}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Preferences of one person. A channel without an address sends nothing."""

    mail_address: str = ""
    mail_events: Collection[str] = tuple(Event)
    has_chat: bool = False
    chat_events: Collection[str] = tuple(Event)

    def has_address(self, channel: Channel) -> bool:
        return bool(self.mail_address) if channel is Channel.MAIL else self.has_chat

    def wants(self, event: Event, channel: Channel) -> bool:
        return event in (self.mail_events if channel is Channel.MAIL else self.chat_events)


class SendFailure(Exception):
    """Failed attempt to send. `failure` is a reason code, `detail` a sentence without addresses.

    `is_ambiguous`: the message may have arrived. `is_final`: the receiver will never accept it.
    """

    def __init__(
        self,
        failure: str,
        detail: str,
        *,
        is_ambiguous: bool = False,
        is_final: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        self.failure = failure
        self.detail = detail
        self.is_ambiguous = is_ambiguous
        self.is_final = is_final
        self.retry_after_s = retry_after_s
        super().__init__(f"{failure}: {detail}")


def channels_of(wishes: Wishes) -> tuple[Channel, ...]:
    """Return the channels of a person: mail, and chat if an address is stored."""
    return (Channel.MAIL, Channel.CHAT) if wishes.has_chat else (Channel.MAIL,)


def reason_to_skip(event: Event, channel: Channel, wishes: Wishes, *, is_set_up: bool) -> str:
    """Return the reason code for not sending this event on this channel; empty if it must be sent."""
    if not wishes.wants(event, channel):
        return "notice_unsubscribed"
    if not is_set_up:
        return "notice_channel_off"
    return "" if wishes.has_address(channel) else "notice_no_address"


def is_overtaken(event: Event, *, is_pending: bool, has_voted: bool) -> bool:
    """Return True if the recipient cannot vote any more: the step is closed, or the recipient voted."""
    return event is not Event.DECIDED and event not in WITHOUT_STEP and (has_voted or not is_pending)


def is_stale(noticed_at: datetime, *, now: datetime) -> bool:
    return now - noticed_at > STALE_AFTER


def wait_before_next(failure: SendFailure, *, attempts: int, most: int, rng: random.Random) -> float | None:
    """Return the seconds until the next attempt after `attempts` attempts; None to give up.

    Doubles from 15 seconds to an hour, with jitter, in addition to the delay that the receiver requested.
    """
    if failure.is_final or failure.is_ambiguous or attempts >= most:
        return None
    ceiling = min(LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(attempts - 1, 30))
    asked = min(max(failure.retry_after_s or 0.0, 0.0), LONGEST_ASKED_S)
    return asked + rng.uniform(ceiling / 2, ceiling)
