"""The console's pages of the ledger: receipts as they were hashed, and exports of them."""

from __future__ import annotations

from typing import Any

import orjson
from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from telemetry import selectors
from telemetry.filters import ReceiptFilters
from telemetry.models import Receipt, TelemetryExport
from telemetry.services.exports import bounded_window, create_export, stream_ndjson
from threada_site.admin import html
from threada_site.admin.acts import Call, Done, act
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column, ListFilter, created_window
from threada_site.admin.model_admin import TenantAdmin, context_of
from threada_site.api.filters import CreatedWindow
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.canonical import sha256_hex
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import User

_BLOCKS = ("actor", "inputs", "evidence", "policy", "outcome")


class ReceiptListFilters(CreatedWindow, ReceiptFilters):
    """The documented filters, over a window that is bounded as everywhere: kinds have no index of their own."""

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        cleaned = self.form.cleaned_data
        chosen = bounded_window(cleaned["created_after"], cleaned["created_before"], now=clock.now())
        return super().filter_queryset(queryset.filter(id__gte=chosen.first_id, id__lt=chosen.end_id))


@admin.register(Receipt)
class ReceiptAdmin(TenantAdmin):
    scope = Scope.TELEMETRY_READ
    id_prefix = ids.RECEIPT
    key = "-id"
    columns = (
        Column("Receipt", lambda receipt: receipt.kind),
        Column("Status", lambda receipt: html.badge(receipt.status) or html.NOTHING),
        Column("Reasons", lambda receipt: html.tags(receipt.reason_codes) or html.NOTHING),
        Column("Workflow", lambda receipt: receipt.workflow or html.NOTHING),
        Column("Integration", lambda receipt: receipt.integration or html.NOTHING),
        Column("At", lambda receipt: html.when(receipt.occurred_at)),
    )
    filters = (
        ListFilter("kind", "Kind", "text"),
        ListFilter("status", "Status", "text"),
        ListFilter("workflow_id", "Workflow", "text"),
        ListFilter("channel_id", "Channel", "text"),
        ListFilter("integration_id", "Integration", "text"),
        ListFilter("policy_version_id", "Policy version", "text"),
        ListFilter("work_item_id", "Work item", "text"),
        *created_window(),
    )
    filterset = ReceiptListFilters
    about = (
        "Every step of governed work, written in the transaction of the step itself, and never changed since. The last "
        "31 days, unless you choose others."
    )
    nothing_yet = "Nothing has been recorded yet."
    page_template = "telemetry/receipt.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.receipts(ctx)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.rows(context_of(request)).defer("body")

    def page_title(self, row: Receipt) -> str:
        return f"receipt {row.kind}"

    def page(self, row: Receipt, *, ctx: ActingContext) -> dict[str, Any]:
        raw = bytes(row.body)
        body: dict[str, Any] = orjson.loads(raw)
        return {
            "blocks": [(name, body.get(name) or {}) for name in _BLOCKS],
            "subject": body.get("subject") or {},
            "raw": raw.decode(),
            "size": len(raw),
            "actor": User.objects.filter(id=row.actor_id).first() if row.actor_id else "the instance",
        }

    @act(Scope.TELEMETRY_READ)
    def verify(self, call: Call) -> Done:
        """Hash the stored bytes again."""
        parsed = ids.parse_public_id(ids.RECEIPT, call.key)
        receipt = self.rows(call.ctx).filter(id=parsed).first() if parsed else None
        if receipt is None:
            raise errors.NotFound
        found = sha256_hex(bytes(receipt.body))
        if found != receipt.body_sha256:
            raise errors.InternalError(f"The stored bytes hash to {found}, not to {receipt.body_sha256}.")
        return Done(f"The stored bytes hash to {found}, as recorded.")


class ExportForm(ConsoleForm):
    intro = (
        "Fixes a selection of at most 31 days; it can be downloaded as often as you like, and is the same every time."
    )
    created_after = forms.DateField(label="From day (UTC)", widget=forms.DateInput({"type": "date"}))
    created_before = forms.DateField(label="To day (UTC), not included", widget=forms.DateInput({"type": "date"}))
    workflow_id = forms.CharField(label="Workflow", required=False, max_length=63)
    channel_id = forms.CharField(label="Channel", required=False, max_length=63)
    status = forms.CharField(label="Status", required=False, max_length=32)
    integration_id = forms.CharField(label="Integration", required=False, max_length=63)
    policy_version_id = forms.CharField(label="Policy version", required=False, max_length=64)


@admin.register(TelemetryExport)
class TelemetryExportAdmin(TenantAdmin):
    heading = "Exports"
    scope = Scope.TELEMETRY_READ
    id_prefix = ids.EXPORT
    key = "-id"
    columns = (
        Column("Export", lambda export: html.code(export.public_id)),
        Column("From", lambda export: html.when(ids.instant_of(export.from_id))),
        Column("To", lambda export: html.when(ids.instant_of(export.before_id))),
        Column("Filters", lambda export: html.tags(f"{n}: {v}" for n, v in export.filters.items()) or "none"),
        Column("Made", lambda export: html.when(export.created_at)),
    )
    about = "Receipts to take along: one canonical body a line, byte for byte as they were hashed."
    nothing_yet = "No export has been made."
    page_template = "telemetry/export.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.exports(ctx)

    def page(self, row: TelemetryExport, *, ctx: ActingContext) -> dict[str, Any]:
        return {
            "after": ids.instant_of(row.from_id),
            "before": ids.instant_of(row.before_id),
            "requested_by": User.objects.filter(id=row.requested_by).first() or "the instance",
        }

    def get_urls(self) -> list[URLPattern]:
        name = "telemetry_telemetryexport_download"
        return [path("<str:key>/download/", self._wrap(require_safe(self.download)), name=name), *super().get_urls()]

    def download(self, request: HttpRequest, key: str) -> StreamingHttpResponse:
        """The selection as NDJSON, streamed; its unit of work is opened while it is read."""
        export = self.find(key, ctx=self._require_view(request))
        return StreamingHttpResponse(
            stream_ndjson(export),
            content_type="application/x-ndjson",
            headers={"Content-Disposition": f'attachment; filename="{export.public_id}.ndjson"'},
        )

    @form_page("New export", form=ExportForm, scope=Scope.TELEMETRY_READ, submit="Make the export")
    def new(self, call: Call, form: ConsoleForm) -> Done:
        sent = {name: value for name, value in form.cleaned_data.items() if value}
        for name in ("created_after", "created_before"):
            sent[name] = f"{sent[name].isoformat()}T00:00:00Z"
        export = create_export(sent, ctx=call.ctx)
        return Done("The export is ready.", self.url_of(export))
