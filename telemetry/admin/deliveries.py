"""Console pages of continuous deliveries: position, failure, and the actions pause, resume and remove."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from telemetry import selectors
from telemetry.deliveries.attempt_list import attempts, request_resend, request_test_event
from telemetry.deliveries.batches import pause_delivery, remove_delivery, resume_delivery
from telemetry.lifecycle import DeliveryStatus
from telemetry.models import Delivery
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.confirmation import Confirmation, Effects
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import User

SHOWN_ATTEMPTS: Final = 20
_MOST_DIGITS: Final = 15


def _index(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS else None


def _removing(admin: Any, call: Call) -> Effects:
    delivery = admin.find(call.key, ctx=call.ctx)
    return Effects(
        [
            _("Nothing more is sent by the delivery %(name)s.") % {"name": delivery.slug},
            _("Its position is deleted: a new delivery does not continue where it ended."),
        ]
    )


REMOVE = Confirmation(gettext_lazy("Remove delivery"), _removing)


@admin.register(Delivery)
class DeliveryAdmin(TenantAdmin):
    heading = gettext_lazy("Deliveries")
    scope = Scope.TELEMETRY_READ
    key = "slug"
    columns = (
        Column(gettext_lazy("Delivery"), lambda row: row.slug),
        Column(gettext_lazy("Status"), lambda row: html.badge(row.status)),
        Column(gettext_lazy("Kind"), lambda row: row.target),
        Column(gettext_lazy("To"), lambda row: row.url or _("a file"), is_wide=True),
        Column(gettext_lazy("Delivered"), lambda row: f"{row.next_index:,}"),
        Column(gettext_lazy("Last"), lambda row: html.when(row.delivered_at) or html.NOTHING),
        Column(gettext_lazy("Failure"), lambda row: row.failure or html.NOTHING),
    )
    about = gettext_lazy("Sealed receipts, sent continuously in the order of the log, each at least once.")
    nothing_yet = gettext_lazy("There is no continuous delivery. Create one with POST /telemetry/deliveries.")
    page_template = "telemetry/delivery.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.deliveries(ctx)

    def page(self, row: Delivery, *, ctx: ActingContext) -> dict[str, Any]:
        size = selectors.log_size(ctx.tenant_id)
        return {
            "log_size": size,
            "lacks": max(size - row.next_index, 0),
            "created_by": (row.created_by and User.objects.filter(id=row.created_by).first()) or _("the instance"),
            "is_active": row.status == DeliveryStatus.ACTIVE,
            "shown_attempts": list(attempts(row).order_by("-id")[:SHOWN_ATTEMPTS]),
            "can_manage": ctx.has_scope_anywhere(Scope.INTEGRATIONS_MANAGE),
        }

    @action(Scope.INTEGRATIONS_MANAGE)
    def pause(self, call: Call) -> Done:
        """Stop sending."""
        pause_delivery(self._locked(call), now=clock.now(), ctx=call.ctx)
        return Done(_("The delivery is paused."))

    @action(Scope.INTEGRATIONS_MANAGE)
    def resume(self, call: Call) -> Done:
        """Continue from the position where the delivery stopped."""
        resume_delivery(self._locked(call), ctx=call.ctx)
        return Done(_("The delivery is resumed."))

    @action(Scope.INTEGRATIONS_MANAGE)
    def test(self, call: Call) -> Done:
        """Send a test event."""
        request_test_event(self._locked(call), ctx=call.ctx)
        return Done(_("A worker sends a test event. The result appears among the attempts."))

    @action(Scope.INTEGRATIONS_MANAGE)
    def resend(self, call: Call) -> Done:
        """Send a range of delivered receipts again."""
        form = call.request.POST
        first, last = (_index(form.get(name, "")) for name in ("first_index", "last_index"))
        request_resend(self._locked(call), first=first, last=last, ctx=call.ctx)
        return Done(_("A worker sends these receipts again. The result appears among the attempts."))

    @action(Scope.INTEGRATIONS_MANAGE, confirm=REMOVE)
    def remove(self, call: Call) -> Done:
        """Remove the delivery permanently."""
        remove_delivery(self._locked(call), ctx=call.ctx)
        return Done(_("The delivery is removed."), self.list_url())

    def _locked(self, call: Call) -> Delivery:
        found = ids.is_slug(call.key) and self.rows(call.ctx).select_for_update().filter(slug=call.key).first()
        if not found:
            raise errors.NotFound
        return found
