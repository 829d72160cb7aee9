"""Rules for publishing a draft: four eyes, replay reports and emergencies. Pure; API, console and commands use it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from policies.language.durations import format_duration
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import (
    EmergencyNotAvailable,
    EmergencyOver,
    FieldError,
    InvalidRequest,
    PersonRequired,
    ReplayReportRequired,
    SecondPersonRequired,
    StepUpRequired,
)

MIN_REASON: Final = 20
MAX_REASON: Final = 500
SHORTEST: Final = timedelta(minutes=5)
LONGEST: Final = timedelta(hours=24)


_SPACES: Final = " \t\n\r"


@dataclass(frozen=True, slots=True)
class Emergency:
    """Parameters of an emergency publication: reason and time box."""

    reason: str
    lasts: timedelta

    def check(self) -> None:
        """Raise `InvalidRequest` if the reason is missing or the time box is out of range."""
        errors = []
        reason = self.reason.strip()
        if not MIN_REASON <= len(reason) <= MAX_REASON or len(set(reason) - set(_SPACES)) < 2:
            said = f"Give a reason of {MIN_REASON} to {MAX_REASON} characters."
            errors.append(FieldError("/emergency/reason", said, "required"))
        if not SHORTEST <= self.lasts <= LONGEST:
            said = f"Write a duration of {format_duration(SHORTEST)} to {format_duration(LONGEST)}."
            errors.append(FieldError("/emergency/lasts", said, "out_of_range"))
        if errors:
            raise InvalidRequest("An emergency needs a reason and a time box.", errors=errors)


@dataclass(frozen=True, slots=True)
class Earlier:
    """Earlier emergency publication of the same policy.

    `is_by_dependent`: its publisher is the same person as the one who wants to publish now, or not independent.
    """

    ended_at: datetime
    is_confirmed: bool
    is_by_dependent: bool


@dataclass(frozen=True, slots=True)
class Report:
    """Result of a finished replay of exactly this document."""

    replay_id: str
    replayed: int
    flipped: int
    not_replayable: int
    finished_at: datetime

    def as_json(self) -> dict[str, str | int]:
        """Return the id and the numbers, as a change set shows them."""
        return {
            "replay": self.replay_id,
            "replayed": self.replayed,
            "flipped": self.flipped,
            "not_replayable": self.not_replayable,
        }


@dataclass(frozen=True, slots=True)
class Attached:
    """Writers and replay report of a draft. `writers` includes the owners of agents and services that wrote it.

    `report` is None if no finished replay covers the current text of the draft.
    """

    writers: frozenset[uuid.UUID]
    report: Report | None = None


def check_has_report(attached: Attached, *, four_eyes: bool) -> None:
    """Raise `ReplayReportRequired` if four eyes are required and no finished replay covers the draft."""
    if four_eyes and attached.report is None:
        raise ReplayReportRequired


def check_may_publish_alone(*, now: datetime, ctx: ActingContext) -> None:
    """Raise `PersonRequired` if `ctx` is not a person, `StepUpRequired` without a session and a recent password."""
    if not ctx.is_person:
        raise PersonRequired("Only a person can publish in an emergency.")
    if not ctx.authentication.is_session:
        raise StepUpRequired("Publish in an emergency in the console, and re-authenticate there: a token cannot do it.")
    if not ctx.recently_reauthenticated(now):
        raise StepUpRequired("Re-authenticate to publish in an emergency, at most five minutes before it.")


def check_is_available(earlier: Iterable[Earlier], *, now: datetime, cooldown: timedelta) -> None:
    """Raise `EmergencyNotAvailable` during the cool-down, or for a second use by a person without a confirmation."""
    for emergency in earlier:
        if emergency.is_by_dependent and not emergency.is_confirmed:
            raise EmergencyNotAvailable(
                "You, or a person who is not independent of you, used an emergency publication of this policy that "
                "nobody confirmed. Publish the version with a second person."
            )
        if now < emergency.ended_at + cooldown:
            raise EmergencyNotAvailable(
                f"The previous emergency publication of this policy ended less than {format_duration(cooldown)} ago. "
                "Publish the version with a second person."
            )


def check_may_confirm(*, is_independent: bool, ends_at: datetime, now: datetime, ctx: ActingContext) -> None:
    """Raise `EmergencyOver`, `PersonRequired` or `SecondPersonRequired` unless `ctx` may confirm an emergency now."""
    if now >= ends_at:
        raise EmergencyOver(
            "Its time box is over, so the previous version is put back in force. Publish this version again."
        )
    if not ctx.is_person:
        raise PersonRequired("Only a second person can confirm an emergency publication.")
    if not is_independent:
        raise SecondPersonRequired(
            "You published this version, or are not independent of its publisher. An independent person must confirm "
            "it."
        )
