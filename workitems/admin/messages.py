"""Console pages of notification messages: recipient, status, and the reason of a failure."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet

from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.lists import Column, ListFilter, created_window, words
from threada_site.admin.model_admin import TenantAdmin
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import REASONS
from workitems import selectors
from workitems.api.filters import NoticeMessageFilters
from workitems.models import NoticeMessage
from workitems.notices.messages import send_again
from workitems.notices.rules import Channel, Event, MessageStatus


@admin.register(NoticeMessage)
class NoticeMessageAdmin(TenantAdmin):
    heading = "Messages"
    scope = Scope.TELEMETRY_READ
    id_prefix = ids.MESSAGE
    key = "-id"
    columns = (
        Column("Event", lambda row: row.notice.kind),
        Column("To", lambda row: row.recipient),
        Column("By", lambda row: row.channel),
        Column("Status", lambda row: html.badge(row.status)),
        Column("Reason", lambda row: why(row) or html.NOTHING, is_wide=True),
        Column("Created", lambda row: html.when(row.created_at)),
    )
    filters = (
        ListFilter("status", "Status", choices=words(MessageStatus)),
        ListFilter("channel", "By", choices=words(Channel)),
        ListFilter("event", "Event", choices=words(Event)),
        *created_window(),
    )
    filterset = NoticeMessageFilters
    about = "Each person gets one message per event, by mail or chat. Messages contain no contents of cases."
    nothing_yet = "No messages have been sent."
    page_template = "workitems/message.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.notice_messages(ctx)

    def page_title(self, row: NoticeMessage) -> str:
        return f"message {row.public_id}"

    def page(self, row: NoticeMessage, *, ctx: ActingContext) -> dict[str, Any]:
        reason = REASONS.get(row.reason)
        return {
            "step": row.notice.step,
            "why": why(row),
            "advice": reason.advice if reason and not row.detail else "",
            "may_retry": row.status == MessageStatus.FAILED and ctx.has_scope_anywhere(Scope.WORKFLOW_MANAGE),
        }

    @action(Scope.WORKFLOW_MANAGE)
    def retry(self, call: Call) -> Done:
        """Send the message again."""
        parsed = ids.parse_public_id(ids.MESSAGE, call.key)
        if parsed is None:
            raise errors.NotFound
        send_again(parsed, now=clock.now(), ctx=call.ctx)
        return Done("The message is sent again.")


def why(row: NoticeMessage) -> str:
    """Return the reason why the message was not sent, in words."""
    reason = REASONS.get(row.reason)
    return reason.title if reason else row.reason
