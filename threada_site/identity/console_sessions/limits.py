"""Idle and absolute limit of console sessions."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet

from threada_site.kernel import clock
from threada_site.tenancy.models import ConsoleSession


def open_sessions(now: datetime) -> QuerySet[ConsoleSession]:
    """Return the sessions that have reached neither the idle nor the absolute limit. Needs no unit of work."""
    used_since, begun_since = _limits(now)
    return ConsoleSession.objects.filter(last_used_at__gt=used_since, created_at__gt=begun_since)


def sessions_of(person_id: uuid.UUID) -> list[ConsoleSession]:
    """Return the open sessions of a person, last used first. Needs no unit of work."""
    return list(open_sessions(clock.now()).filter(user_id=person_id).order_by("-last_used_at", "-id"))


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
