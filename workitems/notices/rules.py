"""Who wants to be told what, when a message is left unsent, and when it is tried again. Pure."""

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
"""News that could not be sent for so long is none any more."""
LEASE: Final = timedelta(seconds=90)
LONGEST_WAIT_S: Final = 3600.0
LONGEST_ASKED_S: Final = 6 * 3600.0
_FIRST_WAIT_S: Final = 15.0


class Event(StrEnum):
    """What people are told of."""

    ASSIGNED = "assigned"
    REMINDER = "reminder"
    ESCALATED = "escalated"
    DECIDED = "decided"


class Channel(StrEnum):
    """How they are told."""

    MAIL = "mail"
    CHAT = "chat"


class MessageStatus(StrEnum):
    """Status of a message. `unknown`: it was handed over, but the acceptance is not known."""

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
    """What one person wants to be told, where. Without an address a channel tells them nothing."""

    mail_address: str = ""
    mail_events: Collection[str] = tuple(Event)
    has_chat: bool = False
    chat_events: Collection[str] = tuple(Event)

    def has_address(self, channel: Channel) -> bool:
        return bool(self.mail_address) if channel is Channel.MAIL else self.has_chat

    def wants(self, event: Event, channel: Channel) -> bool:
        return event in (self.mail_events if channel is Channel.MAIL else self.chat_events)


class SendFailure(Exception):
    """One try that did not succeed. `failure` is a reason code, `detail` a sentence without any address.

    `is_ambiguous`: it may have arrived all the same. `is_final`: the receiver will never take it.
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
    """The channels on which something is recorded for a person: mail, and chat where they have set it up."""
    return (Channel.MAIL, Channel.CHAT) if wishes.has_chat else (Channel.MAIL,)


def reason_to_skip(event: Event, channel: Channel, wishes: Wishes, *, is_set_up: bool) -> str:
    """Why this person is not told of it on this channel, as a reason code; empty when they are."""
    if not wishes.wants(event, channel):
        return "notice_unsubscribed"
    if not is_set_up:
        return "notice_channel_off"
    return "" if wishes.has_address(channel) else "notice_no_address"


def is_overtaken(event: Event, *, is_pending: bool, has_voted: bool) -> bool:
    """Whether there is nothing left to ask of them: the step has closed, or they have decided."""
    return event is not Event.DECIDED and (has_voted or not is_pending)


def is_stale(noticed_at: datetime, *, now: datetime) -> bool:
    return now - noticed_at > STALE_AFTER


def wait_before_next(failure: SendFailure, *, attempts: int, most: int, rng: random.Random) -> float | None:
    """Seconds until the next try after `attempts` of them; None: it is given up.

    Doubles from 15 seconds to an hour, with jitter, on top of what the receiver asks for.
    """
    if failure.is_final or failure.is_ambiguous or attempts >= most:
        return None
    ceiling = min(LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(attempts - 1, 30))
    asked = min(max(failure.retry_after_s or 0.0, 0.0), LONGEST_ASKED_S)
    return asked + rng.uniform(ceiling / 2, ceiling)
