"""`/me/notification-preferences`: events and addresses for messages to the caller."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

from rest_framework.response import Response

from threada_site.api.conditional_requests.tags import check_if_match, etag
from threada_site.api.operations import operation
from threada_site.api.resources.field_types import BOOLEAN, MAYBE_INSTANT, MAYBE_TEXT, TEXT, inline
from threada_site.api.resources.resource import FieldType, Resource, field
from threada_site.api.shapes import shape
from threada_site.api.views import TenantView
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import User
from workitems.models import NotificationPreference
from workitems.notices.preferences import UNCHANGED, Change, change_preferences, is_set_up, preferences_of, zone_of
from workitems.notices.rules import Channel, Event

_EVENTS: Final[dict[str, Any]] = {
    "type": "array",
    "items": {"enum": [event.value for event in Event]},
    "uniqueItems": True,
    "description": "`assigned`: a step is pending for you. `reminder`: it is still pending. `escalated`: it was "
    "escalated to you. "
    "`decided`: a case that you requested or voted on is closed.",
}
_EVENT_LIST: Final = FieldType(_EVENTS)
PREFERENCES: Final = Resource(
    "NotificationPreferences",
    field(
        "mail",
        inline(
            field("address", MAYBE_TEXT, "row.mail_address", description="Overrides the address of the account."),
            field("account_address", MAYBE_TEXT, "person.email"),
            field("events", _EVENT_LIST, "row.mail_events"),
            field(
                "is_available",
                BOOLEAN,
                lambda _: is_set_up(Channel.MAIL),
                description="True if the instance can send mail.",
            ),
        ),
        lambda preferences: preferences,
    ),
    field(
        "chat",
        inline(
            field(
                "service",
                MAYBE_TEXT,
                "row.chat_service",
                description="Service of the stored address. The address itself is never returned.",
            ),
            field("events", _EVENT_LIST, "row.chat_events"),
        ),
        lambda preferences: preferences,
    ),
    field("time_zone", TEXT, description="Time zone of the times in messages."),
    field("updated_at", MAYBE_INSTANT),
    example={
        "mail": {
            "address": None,
            "account_address": "ada@example.org",
            "events": ["assigned", "reminder", "escalated", "decided"],
            "is_available": True,
        },
        "chat": {"service": "slack", "events": ["assigned", "escalated"]},
        "time_zone": "Europe/Berlin",
        "updated_at": "2026-01-31T09:30:00.000Z",
    },
)
CHANGE: Final = shape(
    {
        "mail": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"address": {"type": ["string", "null"], "maxLength": 254}, "events": _EVENTS},
        },
        "chat": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "address": {
                    "type": ["string", "null"],
                    "maxLength": 2000,
                    "description": "An Apprise address: `slack://…`, `discord://…`, `workflows://…` (Teams), `mmosts://…`"
                    ", `jsons://…` (a webhook). Write-only. Null removes it.",
                },
                "events": _EVENTS,
            },
        },
    },
    example={"mail": {"events": ["assigned", "escalated"]}, "chat": {"address": None}},
)


class NotificationPreferences(TenantView):
    scopes: ClassVar = {"GET": None, "PATCH": None}

    @operation(
        "readNotificationPreferences",
        "Read notification preferences",
        tag="Notifications",
        answers={200: PREFERENCES},
        headers=("ETag",),
        reasons=("permission_denied",),
    )
    def get(self, request: Any) -> Response:
        """Return the preferences of the caller, who must be a person."""
        return _answer(preferences_of(request.auth), ctx=request.auth)

    @operation(
        "changeNotificationPreferences",
        "Change notification preferences",
        tag="Notifications",
        body=CHANGE,
        answers={200: PREFERENCES},
        needs_if_match=True,
        headers=("ETag",),
        reasons=("permission_denied", "scope_missing"),
    )
    def patch(self, request: Any) -> Response:
        """Change the members that are sent; others keep their values.

        Needs `decisions:decide` or `workitems:write`, so that a read-only credential cannot redirect messages.
        """
        body = CHANGE.check(request.data)
        row = preferences_of(request.auth, for_update=True)
        check_if_match(request, _tag(row))
        mail, chat = body.get("mail", {}), body.get("chat", {})
        change = Change(
            mail_address=(mail["address"] or "") if "address" in mail else UNCHANGED,
            mail_events=mail.get("events"),
            chat_address=(chat["address"] or "") if "address" in chat else UNCHANGED,
            chat_events=chat.get("events"),
        )
        change_preferences(row, change, ctx=request.auth)
        return _answer(row, ctx=request.auth)


@dataclass(frozen=True, slots=True)
class _Preferences:
    """Preferences of a person in a tenant."""

    row: NotificationPreference
    person: User

    @property
    def time_zone(self) -> str:
        return zone_of(self.person, tenant_id=self.row.tenant_id)

    @property
    def updated_at(self) -> datetime | None:
        """Return the time of the last change, or None if the preferences are the defaults."""
        return self.row.updated_at if self.row.version else None


def _answer(row: NotificationPreference, *, ctx: ActingContext) -> Response:
    found = _Preferences(row, User.objects.get(id=ctx.principal_id))
    return Response(PREFERENCES.represent(found), headers={"ETag": _tag(row)})


def _tag(row: NotificationPreference) -> str:
    return etag("preferences", row.version)
