"""Console pages of notification messages: recipient, status, and the reason of a failure."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.lists import Column, ListFilter, created_window, words
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.words import word
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import REASONS
from workitems import selectors
from workitems.api.filters import NoticeMessageFilters
from workitems.items.titles import listed_title
from workitems.models import NoticeMessage
from workitems.notices.messages import send_again
from workitems.notices.rules import Channel, Event, MessageStatus


@admin.register(NoticeMessage)
class NoticeMessageAdmin(TenantAdmin):
    heading = gettext_lazy("Messages")
    scope = Scope.TELEMETRY_READ
    id_prefix = ids.MESSAGE
    key = "-id"
    columns = (
        Column(gettext_lazy("Event"), lambda row: word(row.notice.kind)),
        Column(gettext_lazy("To"), lambda row: row.recipient),
        Column(gettext_lazy("By"), lambda row: word(row.channel)),
        Column(gettext_lazy("Status"), lambda row: html.badge(row.status)),
        Column(gettext_lazy("Reason"), lambda row: why(row) or html.NOTHING, is_wide=True),
        Column(gettext_lazy("Created"), lambda row: html.when(row.created_at)),
    )
    filters = (
        ListFilter("status", gettext_lazy("Status"), choices=words(MessageStatus)),
        ListFilter("channel", gettext_lazy("By"), choices=words(Channel)),
        ListFilter("event", gettext_lazy("Event"), choices=words(Event)),
        *created_window(),
    )
    filterset = NoticeMessageFilters
    about = gettext_lazy(
        "Each person gets one message per event, by mail or chat. Messages contain no contents of cases."
    )
    nothing_yet = gettext_lazy("No messages have been sent.")
    page_template = "workitems/message.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.notice_messages(ctx)

    def page_title(self, row: NoticeMessage) -> str:
        return _("message {id}").format(id=row.public_id)

    def page(self, row: NoticeMessage, *, ctx: ActingContext) -> dict[str, Any]:
        reason = REASONS.get(row.reason)
        return {
            "step": row.notice.step,
            "item_title": listed_title(row.notice.work_item),
            "why": why(row),
            "advice": _(reason.advice) if reason and not row.detail else "",
            "may_retry": row.status == MessageStatus.FAILED and ctx.has_scope_anywhere(Scope.WORKFLOW_MANAGE),
        }

    @action(Scope.WORKFLOW_MANAGE)
    def retry(self, call: Call) -> Done:
        """Send the message again."""
        parsed = ids.parse_public_id(ids.MESSAGE, call.key)
        if parsed is None:
            raise errors.NotFound
        send_again(parsed, now=clock.now(), ctx=call.ctx)
        return Done(_("The message is sent again."))


def why(row: NoticeMessage) -> str:
    """Return the reason why the message was not sent, in words."""
    reason = REASONS.get(row.reason)
    return _(reason.title) if reason else row.reason
