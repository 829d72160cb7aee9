"""Who may put a draft in force, by what is attached to it. Pure: API, console and commands are answered alike."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from policies.language.durations import format_duration
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import (
    EmergencyOver,
    FieldError,
    InvalidRequest,
    PersonRequired,
    ReplayReportRequired,
    SecondPersonRequired,
)

MAX_REASON: Final = 500
SHORTEST: Final = timedelta(minutes=5)
LONGEST: Final = timedelta(days=7)


class EmergencyStatus(StrEnum):
    """Where an emergency publication stands. Open: one person alone answers for what is in force."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    REPLACED = "replaced"
    RETIRED = "retired"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Emergency:
    """Putting a version in force alone: why, and for how long at most."""

    reason: str
    lasts: timedelta

    def check(self) -> None:
        """Raise `InvalidRequest` for an emergency without a reason, or of an unusable length."""
        errors = []
        if not self.reason.strip() or len(self.reason) > MAX_REASON:
            said = f"Say why, in at most {MAX_REASON} characters."
            errors.append(FieldError("/emergency/reason", said, "required"))
        if not SHORTEST <= self.lasts <= LONGEST:
            said = f"Write a duration of {format_duration(SHORTEST)} to {format_duration(LONGEST)}."
            errors.append(FieldError("/emergency/lasts", said, "out_of_range"))
        if errors:
            raise InvalidRequest("An emergency needs a reason and a time box.", errors=errors)


@dataclass(frozen=True, slots=True)
class Report:
    """What a finished replay of exactly this document found, against the version in force or what was decided."""

    replay_id: str
    replayed: int
    flipped: int
    not_replayable: int
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Attached:
    """What is attached to a draft: `writers` made or edited it, or answer for an agent or a service that did.

    `report` is None where no replay says what the draft, as it is now, would change.
    """

    writers: frozenset[uuid.UUID]
    report: Report | None = None


def check_may_publish(attached: Attached, *, four_eyes: bool, ctx: ActingContext) -> None:
    """Where two people are needed: raise `PersonRequired` or `SecondPersonRequired` unless `ctx` is the second, and
    `ReplayReportRequired` unless a replay shows what they agree to."""
    if not four_eyes:
        return
    if not ctx.is_person:
        raise PersonRequired(
            "Here a second person puts policies in force: what services, agents and the instance hand in is a draft."
        )
    if ctx.principal_id in attached.writers:
        raise SecondPersonRequired("You have written this draft, or answer for what wrote it. Somebody else publishes.")
    if attached.report is None:
        raise ReplayReportRequired


def check_may_publish_alone(ctx: ActingContext) -> None:
    """Raise `PersonRequired` for an emergency that nobody answers for."""
    if not ctx.is_person:
        raise PersonRequired("In an emergency a person publishes, and answers for it.")


def check_may_confirm(*, published_by: uuid.UUID, ends_at: datetime, now: datetime, ctx: ActingContext) -> None:
    """Raise `EmergencyOver`, `PersonRequired` or `SecondPersonRequired` unless `ctx` may confirm an emergency now."""
    if now >= ends_at:
        raise EmergencyOver("Its time is over: the version before comes back in force. Publish this one anew.")
    if not ctx.is_person:
        raise PersonRequired("A second person confirms an emergency.")
    if ctx.principal_id == published_by:
        raise SecondPersonRequired("You have published it. Somebody else confirms it.")
