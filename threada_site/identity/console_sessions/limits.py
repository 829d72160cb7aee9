"""Limits of console sessions: idle time, absolute time, and the number that one person has."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Q, QuerySet

from threada_site.kernel import clock
from threada_site.tenancy.models import ConsoleSession

MOST_SESSIONS: Final = 50
"""Sessions of one person. A further sign-in ends the one that was not used for the longest time."""


def open_sessions(now: datetime) -> QuerySet[ConsoleSession]:
    """Return the sessions that have reached neither the idle nor the absolute limit. Needs no unit of work."""
    used_since, begun_since = _limits(now)
    return ConsoleSession.objects.filter(last_used_at__gt=used_since, created_at__gt=begun_since)


def sessions_of(person_id: uuid.UUID) -> list[ConsoleSession]:
    """Return the open sessions of a person, last used first. Needs no unit of work."""
    return list(open_sessions(clock.now()).filter(user_id=person_id).order_by("-last_used_at", "-id"))


def make_room_for_session(person_id: uuid.UUID) -> None:
    """End the sessions of a person beyond `MOST_SESSIONS`, with the one that begins now. Needs no unit of work."""
    last_used = ConsoleSession.objects.filter(user_id=person_id).order_by("-last_used_at", "-id")
    beyond = list(last_used.values_list("id", flat=True)[MOST_SESSIONS - 1 :])
    if beyond:
        ConsoleSession.objects.filter(id__in=beyond).delete()


def expire_sessions(*, now: datetime) -> int:
    """Delete the sessions that have reached a limit. Return their number. Needs no unit of work."""
    used_since, begun_since = _limits(now)
    ended = ConsoleSession.objects.filter(Q(last_used_at__lte=used_since) | Q(created_at__lte=begun_since))
    return ended.delete()[0]


def _limits(now: datetime) -> tuple[datetime, datetime]:
    """Return the times after which an open session was last used, and begun."""
    return (
        now - timedelta(minutes=settings.THREADA_SESSION_IDLE_MINUTES),
        now - timedelta(hours=settings.THREADA_SESSION_HOURS),
    )
