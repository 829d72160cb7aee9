"""Rules for publishing a draft: four eyes, replay reports and emergencies. Pure; API, console and commands use it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
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


@dataclass(frozen=True, slots=True)
class Emergency:
    """Parameters of an emergency publication: reason and time box."""

    reason: str
    lasts: timedelta

    def check(self) -> None:
        """Raise `InvalidRequest` if the reason is missing or the time box is out of range."""
        errors = []
        if not self.reason.strip() or len(self.reason) > MAX_REASON:
            said = f"Give a reason of at most {MAX_REASON} characters."
            errors.append(FieldError("/emergency/reason", said, "required"))
        if not SHORTEST <= self.lasts <= LONGEST:
            said = f"Write a duration of {format_duration(SHORTEST)} to {format_duration(LONGEST)}."
            errors.append(FieldError("/emergency/lasts", said, "out_of_range"))
        if errors:
            raise InvalidRequest("An emergency needs a reason and a time box.", errors=errors)


@dataclass(frozen=True, slots=True)
class Report:
    """Result of a finished replay of exactly this document."""

    replay_id: str
    replayed: int
    flipped: int
    not_replayable: int
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Attached:
    """Writers and replay report of a draft. `writers` includes the owners of agents and services that wrote it.

    `report` is None if no finished replay covers the current text of the draft.
    """

    writers: frozenset[uuid.UUID]
    report: Report | None = None


def check_may_publish(attached: Attached, *, four_eyes: bool, ctx: ActingContext) -> None:
    """Raise `PersonRequired`, `SecondPersonRequired` or `ReplayReportRequired` if `ctx` may not publish.

    Without `four_eyes` anybody may publish. With it, a person other than the writers must publish, and the draft needs
    a finished replay.
    """
    if not four_eyes:
        return
    if not ctx.is_person:
        raise PersonRequired(
            "This tenant requires four eyes: a second person publishes what services, agents and the instance draft."
        )
    if ctx.principal_id in attached.writers:
        raise SecondPersonRequired(
            "You wrote this draft, or own the agent or service that did. Another person must publish it."
        )
    if attached.report is None:
        raise ReplayReportRequired


def check_may_publish_alone(ctx: ActingContext) -> None:
    """Raise `PersonRequired` if `ctx` is not a person."""
    if not ctx.is_person:
        raise PersonRequired("Only a person can publish in an emergency.")


def check_may_confirm(*, published_by: uuid.UUID, ends_at: datetime, now: datetime, ctx: ActingContext) -> None:
    """Raise `EmergencyOver`, `PersonRequired` or `SecondPersonRequired` unless `ctx` may confirm an emergency now."""
    if now >= ends_at:
        raise EmergencyOver(
            "Its time box is over, so the previous version is put back in force. Publish this version again."
        )
    if not ctx.is_person:
        raise PersonRequired("Only a second person can confirm an emergency publication.")
    if ctx.principal_id == published_by:
        raise SecondPersonRequired("You published this version. Another person must confirm it.")
