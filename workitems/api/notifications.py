"""`/me/notification-preferences`: events and addresses for messages to the caller."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework.response import Response

from threada_site.api.operations import operation, representation
from threada_site.api.shapes import shape
from threada_site.api.views import TenantView, check_if_match, etag
from threada_site.kernel.clock import rfc3339
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
PREFERENCES: Final = representation(
    "NotificationPreferences",
    {
        "mail": {
            "type": "object",
            "required": ["address", "account_address", "events", "is_available"],
            "properties": {
                "address": {"type": ["string", "null"], "description": "Overrides the address of the account."},
                "account_address": {"type": ["string", "null"]},
                "events": _EVENTS,
                "is_available": {"type": "boolean", "description": "True if the instance can send mail."},
            },
        },
        "chat": {
            "type": "object",
            "required": ["service", "events"],
            "properties": {
                "service": {
                    "type": ["string", "null"],
                    "description": "Service of the stored address. The address itself is never returned.",
                },
                "events": _EVENTS,
            },
        },
        "time_zone": {"type": "string", "description": "Time zone of the times in messages."},
        "updated_at": {"type": ["string", "null"], "format": "date-time"},
    },
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
        takes_if_match=True,
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


def represent_preferences(row: NotificationPreference, *, ctx: ActingContext) -> dict[str, Any]:
    """Return the preferences without the chat address."""
    person = User.objects.get(id=ctx.principal_id)
    return {
        "mail": {
            "address": row.mail_address or None,
            "account_address": person.email or None,
            "events": row.mail_events,
            "is_available": is_set_up(Channel.MAIL),
        },
        "chat": {"service": row.chat_service or None, "events": row.chat_events},
        "time_zone": zone_of(person, tenant_id=ctx.tenant_id),
        "updated_at": rfc3339(row.updated_at) if row.version else None,
    }


def _answer(row: NotificationPreference, *, ctx: ActingContext) -> Response:
    return Response(represent_preferences(row, ctx=ctx), headers={"ETag": _tag(row)})


def _tag(row: NotificationPreference) -> str:
    return etag("preferences", row.version)
