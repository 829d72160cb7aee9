"""Per-user notification preferences. Policies do not control them."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from policies import selectors as policy_selectors
from policies.documents.calendar import time_zones
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.keyring import Undecryptable
from threada_site.personal_data.instance_keyring import keyring
from threada_site.tenancy.models import Membership, User
from workitems.models import NotificationPreference
from workitems.notices.chat import UnusableChatAddress, service_of
from workitems.notices.mail import mail_is_set_up
from workitems.notices.rules import Channel, Event, Wishes

UNCHANGED: Final = object()
_CHANGEABLE: Final = (
    "mail_address", "mail_events", "chat_service", "chat_address", "chat_events", "version", "updated_at",
)  # fmt: skip
"""Value for an address that must not change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Requested change. An empty address removes the address; `None` leaves the events unchanged."""

    mail_address: Any = UNCHANGED
    mail_events: Collection[str] | None = None
    chat_address: Any = UNCHANGED
    chat_events: Collection[str] | None = None


def wishes_of(people: Collection[uuid.UUID], *, tenant_id: uuid.UUID) -> dict[uuid.UUID, Wishes]:
    """Return the preferences of each of `people`, who are members of the tenant. Runs two statements."""
    chosen = {
        row.membership.user_id: row
        for row in NotificationPreference.objects.filter(
            tenant_id=tenant_id, membership__user_id__in=people
        ).select_related("membership")
    }
    accounts = User.objects.filter(id__in=people).values_list("id", "email")
    return {person: _wishes(chosen.get(person), email) for person, email in accounts}


def preferences_of(ctx: ActingContext, *, for_update: bool = False) -> NotificationPreference:
    """Return the preferences of the caller; an unsaved row with the defaults if there is none.

    Raise `PermissionDenied` for services and agents, which get no messages.
    """
    require_unit_of_work(ctx.tenant_id)
    members = Membership.objects.filter(tenant_id=ctx.tenant_id, user_id=ctx.principal_id)
    membership = (members.select_for_update() if for_update else members).first()
    if ctx.principal_kind is not PrincipalKind.HUMAN or membership is None:
        raise errors.PermissionDenied("Only people have notification preferences.")
    found = NotificationPreference.objects.filter(tenant_id=ctx.tenant_id, membership=membership).first()
    if found is not None:
        return found
    everything = [event.value for event in Event]
    return NotificationPreference(
        tenant_id=ctx.tenant_id,
        membership=membership,
        mail_events=everything,
        chat_events=list(everything),
        version=0,
    )


def change_preferences(row: NotificationPreference, change: Change, *, ctx: ActingContext) -> None:
    """Change the caller's preferences. `row` was read for update.

    Receipt `notification_preferences.changed`; it contains no address. Raise `ScopeMissing` for a read-only
    credential, and `InvalidRequest` for an unusable address.
    """
    require_unit_of_work(ctx.tenant_id)
    if not any(ctx.has_scope_anywhere(scope) for scope in (Scope.DECISIONS_DECIDE, Scope.WORKITEMS_WRITE)):
        raise errors.ScopeMissing("Changing preferences needs decisions:decide or workitems:write.")
    changed: list[str] = []
    if change.mail_address is not UNCHANGED and change.mail_address != row.mail_address:
        row.mail_address = _checked_mail(change.mail_address)
        changed.append("mail.address")
    if change.chat_address is not UNCHANGED and (change.chat_address or row.chat_service):
        row.chat_service = _checked_chat(change.chat_address)
        row.chat_address = _encrypted(row, change.chat_address) if change.chat_address else None
        changed.append("chat.address")
    for channel, events in (("mail", change.mail_events), ("chat", change.chat_events)):
        wanted = None if events is None else _ordered(events)
        if wanted is not None and wanted != getattr(row, f"{channel}_events"):
            setattr(row, f"{channel}_events", wanted)
            changed.append(f"{channel}.events")
    if not changed:
        return
    row.version += 1
    row.updated_at = clock.now()
    if row.version == 1:
        row.save(force_insert=True)
    else:
        row.save(update_fields=_CHANGEABLE)
    inputs = {
        "changed": changed,
        "mail_events": row.mail_events,
        "chat_events": row.chat_events,
        "chat_service": row.chat_service or None,
    }
    record(Entry(kind="notification_preferences.changed", inputs=inputs), ctx=ctx)


def chat_address_of(person: uuid.UUID, *, tenant_id: uuid.UUID) -> tuple[str, str] | None:
    """Return service and address of a member's chat, or None. Raise `Undecryptable`."""
    rows = NotificationPreference.objects.filter(tenant_id=tenant_id, membership__user_id=person)
    row = rows.exclude(chat_service="").first()
    if row is None or row.chat_address is None:
        return None
    binding, _, address = keyring().decrypt(bytes(row.chat_address)).partition(b"\n")
    if binding != _binding(row):
        raise Undecryptable
    return row.chat_service, address.decode()


def reencrypt_addresses(*, after: uuid.UUID | None, most: int) -> tuple[uuid.UUID | None, int, int]:
    """Encrypt up to `most` chat addresses after row `after` with the first key, in all tenants.

    Return the id of the last row (None at the end), the number of re-encrypted rows, and the number of rows that no
    key decrypts.
    """
    done = broken = 0
    last = None
    with platform_role():
        rows = NotificationPreference.objects.filter(chat_address__isnull=False).order_by("id")
        for row in (rows if after is None else rows.filter(id__gt=after)).select_for_update()[:most]:
            last, token = row.id, bytes(row.chat_address or b"")
            if keyring().is_current(token):
                continue
            try:
                row.chat_address = keyring().encrypt(keyring().decrypt(token)).token
            except Undecryptable:
                broken += 1
                continue
            row.save(update_fields=["chat_address"])
            done += 1
    return last, done, broken


def is_set_up(channel: Channel) -> bool:
    """Return True if the instance can send on a channel."""
    return channel is not Channel.MAIL or mail_is_set_up()


def zone_of(person: User, *, tenant_id: uuid.UUID) -> str:
    """Return the time zone of a person, else of the tenant's calendar, else UTC."""
    calendar = None if person.time_zone else policy_selectors.calendar_of(tenant_id)
    named = person.time_zone or (calendar.time_zone if calendar else "")
    return named if named in time_zones() else "UTC"


def _wishes(row: NotificationPreference | None, email: str) -> Wishes:
    if row is None:
        return Wishes(mail_address=email)
    return Wishes(
        mail_address=row.mail_address or email,
        mail_events=row.mail_events,
        has_chat=bool(row.chat_service),
        chat_events=row.chat_events,
    )


def _checked_mail(address: str) -> str:
    try:
        if address:
            validate_email(address)
    except ValidationError:
        raise errors.InvalidRequest(
            "The mail address is invalid.", errors=[FieldError("/mail/address", "is not a mail address", "invalid")]
        ) from None
    return address


def _checked_chat(address: str) -> str:
    try:
        return service_of(address) if address else ""
    except UnusableChatAddress as refusal:
        raise errors.InvalidRequest(
            "The chat address is invalid.", errors=[FieldError("/chat/address", str(refusal), "invalid")]
        ) from None


def _encrypted(row: NotificationPreference, address: str) -> bytes:
    return keyring().encrypt(_binding(row) + b"\n" + address.encode()).token


def _binding(row: NotificationPreference) -> bytes:
    """Return the row identity that is encrypted with an address, so that it cannot be moved to another row."""
    return f"{row.tenant_id} {row.id} chat".encode()


def _ordered(events: Iterable[str]) -> list[str]:
    return [event.value for event in Event if event.value in set(events)]
