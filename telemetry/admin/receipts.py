"""Console pages of receipts, shown as they were hashed."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from telemetry import selectors
from telemetry.admin.exports import ExportForm
from telemetry.admin.list_csv import CsvDownload
from telemetry.exports.request import bounded_window
from telemetry.models import Receipt, ReceiptReason
from telemetry.receipts.filters import ReceiptFilters
from telemetry.verification.single_receipt import verify_receipt
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.lists import Column, ListFilter, ListPage, created_window
from threada_site.admin.model_admin import TenantAdmin, context_of
from threada_site.api.filters import CreatedWindow
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import User

_BLOCKS = ("actor", "inputs", "evidence", "policy", "outcome")


class ReceiptListFilters(CreatedWindow, ReceiptFilters):
    """Filters of the receipt list. The window is always bounded, because `kind` has no index of its own."""

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        cleaned = self.form.cleaned_data
        chosen = bounded_window(cleaned["created_after"], cleaned["created_before"], now=clock.now())
        return super().filter_queryset(queryset.filter(id__gte=chosen.first_id, id__lt=chosen.end_id))


def _export_url(page: ListPage) -> str:
    chosen = {one.name: one.value for one in page.filters if one.value}
    if page.search or page.problems or not chosen.keys() <= {*ExportForm.prefilled}:
        return ""
    if last := chosen.get("created_before"):
        chosen["created_before"] = str(date.fromisoformat(last) + timedelta(days=1))
    return f"{reverse('admin:telemetry_telemetryexport_new')}?{urlencode(chosen)}"


@admin.register(Receipt)
class ReceiptAdmin(CsvDownload, TenantAdmin):
    scope = Scope.TELEMETRY_READ
    id_prefix = ids.RECEIPT
    key = "-id"
    columns = (
        Column(gettext_lazy("Receipt"), lambda receipt: receipt.kind, name="kind"),
        Column(gettext_lazy("Status"), lambda receipt: html.badge(receipt.status) or html.NOTHING, name="status"),
        Column(
            gettext_lazy("Reasons"), lambda receipt: html.tags(receipt.reason_codes) or html.NOTHING, name="reasons"
        ),
        Column(gettext_lazy("Workflow"), lambda receipt: receipt.workflow or html.NOTHING, name="workflow"),
        Column(gettext_lazy("Integration"), lambda receipt: receipt.integration or html.NOTHING, name="integration"),
        Column(gettext_lazy("At"), lambda receipt: html.when(receipt.occurred_at), name="at", sort="id"),
    )
    filters = (
        ListFilter("kind", gettext_lazy("Kind"), "text"),
        ListFilter("status", gettext_lazy("Status"), "text"),
        ListFilter("workflow_id", gettext_lazy("Workflow"), "text"),
        ListFilter("channel_id", gettext_lazy("Channel"), "text"),
        ListFilter("integration_id", gettext_lazy("Integration"), "text"),
        ListFilter("policy_version_id", gettext_lazy("Policy version"), "text"),
        ListFilter("work_item_id", gettext_lazy("Work item"), "text"),
        ListFilter("principal_id", gettext_lazy("Member"), "text"),
        *created_window(),
    )
    filterset = ReceiptListFilters
    about = gettext_lazy(
        "Every step of governed work, written in the transaction of the step itself, and never changed since. The last "
        "31 days, unless you choose others."
    )
    nothing_yet = gettext_lazy("Nothing has been recorded yet.")
    page_template = "telemetry/receipt.html"

    def list_context(self, page: ListPage, *, ctx: ActingContext) -> dict[str, Any]:
        """Add the link to an export of the receipts that the list shows, if an export has all its filters."""
        return {**super().list_context(page, ctx=ctx), "export_url": _export_url(page)}

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.receipts(ctx)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.rows(context_of(request)).defer("body")

    def page_title(self, row: Receipt) -> str:
        return _("receipt {kind}").format(kind=row.kind)

    def page(self, row: Receipt, *, ctx: ActingContext) -> dict[str, Any]:
        raw = bytes(row.body)
        body: dict[str, Any] = orjson.loads(raw)
        return {
            "blocks": [(name, body.get(name) or {}) for name in _BLOCKS],
            "subject": body.get("subject") or {},
            "raw": raw.decode(),
            "size": len(raw),
            "given_reason": ReceiptReason.objects.filter(tenant_id=ctx.tenant_id, receipt_id=row.id).first(),
            "actor": User.objects.filter(id=row.actor_id).first() if row.actor_id else _("the instance"),
        }

    @action(Scope.TELEMETRY_READ)
    def verify(self, call: Call) -> Done:
        """Hash the stored bytes again and verify them against the signed log."""
        parsed = ids.parse_public_id(ids.RECEIPT, call.key)
        receipt = self.rows(call.ctx).filter(id=parsed).first() if parsed else None
        if receipt is None:
            raise errors.NotFound
        found = verify_receipt(receipt)
        if found.place is None:
            return Done(
                _("The stored bytes hash to {sha256}, as recorded. The receipt is not sealed yet.").format(
                    sha256=found.sha256
                )
            )
        return Done(
            _(
                "The stored bytes hash to {sha256}, as recorded, and are receipt {place:,} of {size:,} in "
                "the log that was signed at {rfc3339}."
            ).format(sha256=found.sha256, place=found.place, size=found.size, rfc3339=rfc3339(found.signed_at))  # type: ignore[arg-type]
        )
