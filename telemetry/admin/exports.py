"""Console pages of exports: create, progress, download."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from telemetry import selectors
from telemetry.exports.download import open_download
from telemetry.exports.evidence import open_evidence
from telemetry.exports.formats import COMPRESSIONS
from telemetry.exports.request import cancel_export, create_export, retry_export
from telemetry.exports.verifier_file import VERIFIER_FILE, VERIFIER_TYPE, verifier_source
from telemetry.lifecycle import EXPORT, ExportStatus
from telemetry.models import TelemetryExport
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action, sentences
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import User

_FORMATS = (
    ("ndjson", gettext_lazy("NDJSON: each receipt's exact bytes, one a line; can be verified")),
    ("csv", gettext_lazy("CSV: for spreadsheets; no cell is a formula")),
    ("parquet", gettext_lazy("Parquet: for analysis")),
    ("cloudevents", gettext_lazy("CloudEvents 1.0: one event a line")),
    ("cloudevents-batch", gettext_lazy("CloudEvents 1.0: one JSON array")),
)


EXPORT_FILTERS: Final = ("workflow_id", "channel_id", "status", "integration_id", "policy_version_id")


class ExportForm(ConsoleForm):
    intro = gettext_lazy(
        "Writes a selection of at most 31 days to a file. Every download returns the same bytes. The file is deleted "
        "later."
    )
    prefilled = ("created_after", "created_before", *EXPORT_FILTERS)
    created_after = forms.DateField(
        label=gettext_lazy("From day (UTC)"), widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )
    created_before = forms.DateField(
        label=gettext_lazy("To day (UTC), not included"), widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )
    format = forms.ChoiceField(label=gettext_lazy("Format"), choices=_FORMATS, required=False)
    compression = forms.ChoiceField(
        label=gettext_lazy("Compression"), choices=[(name, name) for name in COMPRESSIONS], required=False
    )
    workflow_id = forms.CharField(label=gettext_lazy("Workflow"), required=False, max_length=63)
    channel_id = forms.CharField(label=gettext_lazy("Channel"), required=False, max_length=63)
    status = forms.CharField(label=gettext_lazy("Status"), required=False, max_length=32)
    integration_id = forms.CharField(label=gettext_lazy("Integration"), required=False, max_length=63)
    policy_version_id = forms.CharField(label=gettext_lazy("Policy version"), required=False, max_length=64)


@admin.register(TelemetryExport)
class TelemetryExportAdmin(TenantAdmin):
    heading = gettext_lazy("Exports")
    scope = Scope.TELEMETRY_READ
    id_prefix = ids.EXPORT
    key = "-id"
    columns = (
        Column(gettext_lazy("Export"), lambda export: html.code(export.public_id)),
        Column(gettext_lazy("Status"), lambda export: html.badge(export.status)),
        Column(gettext_lazy("Format"), lambda export: export.format),
        Column(gettext_lazy("Receipts"), lambda export: f"{export.rows:,}"),
        Column(gettext_lazy("Size"), lambda export: filesizeformat(export.size)),
        Column(gettext_lazy("From"), lambda export: html.when(export.created_after), is_exact=True),
        Column(gettext_lazy("To"), lambda export: html.when(export.created_before), is_exact=True),
        Column(
            gettext_lazy("Filters"), lambda export: html.tags(f"{n}: {v}" for n, v in export.filters.items()) or "none"
        ),
        Column(gettext_lazy("Made"), lambda export: html.when(export.created_at)),
    )
    about = gettext_lazy("Receipts as files for download. Files are deleted after a fixed time.")
    nothing_yet = gettext_lazy("No export has been made.")
    page_template = "telemetry/export.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.exports(ctx)

    def page(self, row: TelemetryExport, *, ctx: ActingContext) -> dict[str, Any]:
        status = ExportStatus(row.status)
        return {
            "requested_by": User.objects.filter(id=row.requested_by).first() or _("the instance"),
            "format_text": dict(_FORMATS)[row.format],
            "percent": min(99, 100 * row.rows // row.rows_expected) if row.rows_expected else None,
            "rows_text": f"{row.rows:,}",
            "expected_text": f"{row.rows_expected or 0:,}",
            "is_waiting": status in (ExportStatus.REQUESTED, ExportStatus.RUNNING),
            "is_ready": status is ExportStatus.READY,
            "is_verifiable": row.format == "ndjson",
            "can_cancel": EXPORT.allows(status, ExportStatus.CANCELLED),
            "can_retry": status is ExportStatus.FAILED,
        }

    def get_urls(self) -> list[URLPattern]:
        pages = [
            path(f"<str:key>/{name}/", self._wrap(require_safe(view)), name=f"telemetry_telemetryexport_{name}")
            for name, view in (("download", self.download), ("evidence", self.evidence))
        ]
        verifier = self._wrap(require_safe(self.verifier))
        return [path("verifier/", verifier, name="telemetry_telemetryexport_verifier"), *pages, *super().get_urls()]

    def download(self, request: HttpRequest, key: str) -> HttpResponseBase:
        """Stream the file of the export, or the byte range that the browser asks for."""
        export = self.find(key, ctx=self._require_view(request))
        try:
            found = open_download(
                export, asked=request.META.get("HTTP_RANGE"), if_range=request.META.get("HTTP_IF_RANGE")
            )
        except errors.RangeNotSatisfiable as refusal:
            return HttpResponse(refusal.detail, status=416, headers=refusal.headers, content_type="text/plain")
        except errors.ThreadaError as refusal:
            return self._refused(request, export, refusal)
        return StreamingHttpResponse(found.content, status=found.status, headers=found.headers)

    def evidence(self, request: HttpRequest, key: str) -> HttpResponseBase:
        """Stream the receipts and their proofs as a zip."""
        export = self.find(key, ctx=self._require_view(request))
        try:
            found = open_evidence(export)
        except errors.ThreadaError as refusal:
            return self._refused(request, export, refusal)
        return StreamingHttpResponse(found.content, status=found.status, headers=found.headers)

    def verifier(self, request: HttpRequest) -> HttpResponse:
        """Return the source of threada_verify.py."""
        self._require_view(request)
        named = {"Content-Disposition": f'attachment; filename="{VERIFIER_FILE}"'}
        return HttpResponse(verifier_source(), content_type=VERIFIER_TYPE, headers=named)

    def _refused(
        self, request: HttpRequest, export: TelemetryExport, refusal: errors.ThreadaError
    ) -> HttpResponseRedirect:
        for sentence in sentences(refusal):
            messages.error(request, sentence)
        return HttpResponseRedirect(self.url_of(export))

    @form_page(
        gettext_lazy("New export"), form=ExportForm, scope=Scope.TELEMETRY_READ, submit=gettext_lazy("Create export")
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        sent = {name: value for name, value in form.cleaned_data.items() if value}
        form_of = sent.pop("format", "ndjson")
        compression = sent.pop("compression", "none")
        for name in ("created_after", "created_before"):
            sent[name] = f"{sent[name].isoformat()}T00:00:00Z"
        export = create_export(sent, ctx=call.ctx, file_format=form_of, compression=compression)
        is_ready = export.status == ExportStatus.READY
        return Done(_("The export is ready.") if is_ready else _("The export is being made."), self.url_of(export))

    @action(Scope.TELEMETRY_READ)
    def cancel(self, call: Call) -> Done:
        """Stop writing the export, or delete its file."""
        cancel_export(self._locked(call), ctx=call.ctx)
        return Done(_("The export is cancelled, and its file deleted."))

    @action(Scope.TELEMETRY_READ)
    def retry(self, call: Call) -> Done:
        """Write the export again."""
        retry_export(self._locked(call), ctx=call.ctx)
        return Done(_("The export is being made again."))

    def _locked(self, call: Call) -> TelemetryExport:
        parsed = ids.parse_public_id(ids.EXPORT, call.key)
        export = self.rows(call.ctx).select_for_update().filter(id=parsed).first() if parsed else None
        if export is None:
            raise errors.NotFound
        return export
