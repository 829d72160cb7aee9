"""What people want to be told, and where."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from policies import selectors as rulebook
from policies.calendar_documents import time_zones
from threada_site.tenancy.models import User
from workitems.notices.mail import mail_is_set_up
from workitems.notices.rules import Channel, Wishes


def wishes_of(people: Collection[uuid.UUID]) -> dict[uuid.UUID, Wishes]:
    """What each of `people` wants to be told."""
    rows = User.objects.filter(id__in=people).values_list("id", "email")
    return {person: Wishes(mail_address=email) for person, email in rows}


def is_set_up(channel: Channel) -> bool:
    """Whether this instance can send on a channel at all."""
    return channel is not Channel.MAIL or mail_is_set_up()


def zone_of(person: User, *, tenant_id: uuid.UUID) -> str:
    """In which zone a person reads times: their own, else the tenant's calendar's, else UTC."""
    calendar = None if person.time_zone else rulebook.calendar_of(tenant_id)
    named = person.time_zone or (calendar.time_zone if calendar else "")
    return named if named in time_zones() else "UTC"
