"""`/telemetry/exports`: files of receipts for download, and their evidence."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.decorators import action
from rest_framework.response import Response

from telemetry import selectors
from telemetry.api.resources.exports import DOWNLOAD, EVIDENCE, EXPORT
from telemetry.api.shapes import CREATE_EXPORT
from telemetry.exports.download import open_download
from telemetry.exports.evidence import open_evidence
from telemetry.exports.request import cancel_export, create_export, retry_export
from telemetry.lifecycle import ExportStatus
from telemetry.models import TelemetryExport
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import operation
from threada_site.api.viewsets import TenantViewSet, creation, listing, verb
from threada_site.kernel import ids
from threada_site.kernel.context import Scope


class ExportViewSet(TenantViewSet):
    id_prefix = ids.EXPORT
    lookup_url_kwarg = "export_id"
    resource = EXPORT
    tag = "Telemetry"

    def get_queryset(self) -> QuerySet[TelemetryExport]:
        rows = selectors.exports(self.request.auth)
        return rows.select_for_update() if self.action in ("cancel", "retry") else rows

    @listing("listExports", "List exports, newest first", EXPORT, scope=Scope.TELEMETRY_READ)
    def list(self, request: Any) -> Response:
        return self.page()

    @creation(
        "createExport",
        "Write a selection of receipts to a file for download",
        scope=Scope.TELEMETRY_READ,
        body=CREATE_EXPORT,
        answers={202: EXPORT},
        headers=("Location", "Retry-After"),
        reasons=("window_too_large", "optional_package_missing", "quota_exceeded"),
    )
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        """Create an export. A small one is `ready` in this response; a job writes a larger one.

        Read a larger export until it is `ready`. The file contains the receipts committed when writing started, and
        every download returns the same bytes. No format contains the signatures of receipts; the evidence of an export
        in the format `ndjson` does.
        """
        filters = dict(body.get("filters", {}))
        filters.update({name: body[name] for name in ("created_after", "created_before") if name in body})
        export = create_export(
            filters,
            ctx=request.auth,
            file_format=body.get("format", "ndjson"),
            compression=body.get("compression", "none"),
        )
        return self.shown(export, status=202, Location=f"/telemetry/exports/{export.public_id}", **_retry_after(export))

    @operation(
        "readExport",
        "Read an export and its progress",
        scope=Scope.TELEMETRY_READ,
        answers={200: EXPORT},
        headers=("Retry-After",),
    )
    def retrieve(self, request: Any, export_id: str) -> Response:
        export = self.get_object()
        return self.shown(export, **_retry_after(export))

    @verb(
        "cancelExport",
        "Cancel an export or delete its file",
        scope=Scope.TELEMETRY_READ,
        answers={200: EXPORT},
        reasons=("transition_not_allowed",),
    )
    def cancel(self, request: Any, export_id: str) -> Response:
        export = self.get_object()
        cancel_export(export, ctx=request.auth)
        return self.shown(export)

    @verb(
        "retryExport",
        "Retry a failed export with the same selection",
        scope=Scope.TELEMETRY_READ,
        answers={202: EXPORT},
        headers=("Retry-After",),
        reasons=("transition_not_allowed", "quota_exceeded"),
    )
    def retry(self, request: Any, export_id: str) -> Response:
        export = self.get_object()
        retry_export(export, ctx=request.auth)
        return self.shown(export, status=202, **_retry_after(export))

    @action(detail=True, content_negotiation_class=AnyNegotiation)
    @operation(
        "downloadExport",
        "Download an export or a byte range of it",
        scope=Scope.TELEMETRY_READ,
        answers={200: DOWNLOAD, 206: DOWNLOAD},
        headers=("ETag", "Accept-Ranges", "Content-Range"),
        reasons=("export_not_ready", "export_gone", "export_target_unavailable", "range_not_satisfiable"),
    )
    def download(self, request: Any, export_id: str) -> HttpResponseBase:
        """Every download returns the same bytes.

        Continue an interrupted download with `Range: bytes=<have>-` and `If-Range: <ETag>` (206).
        """
        download = open_download(
            self.get_object(), asked=request.META.get("HTTP_RANGE"), if_range=request.META.get("HTTP_IF_RANGE")
        )
        if request.method == "HEAD":
            download.content.close()  # type: ignore[attr-defined]
            return HttpResponse(status=download.status, headers=download.headers)
        return StreamingHttpResponse(download.content, status=download.status, headers=download.headers)

    @action(detail=True, content_negotiation_class=AnyNegotiation)
    @operation(
        "downloadEvidence",
        "Download an NDJSON export with its proof",
        scope=Scope.TELEMETRY_READ,
        answers={200: EVIDENCE},
        reasons=(
            "export_not_ready",
            "export_gone",
            "export_target_unavailable",
            "export_not_verifiable",
            "receipt_not_sealed",
        ),
    )
    def evidence(self, request: Any, export_id: str) -> HttpResponseBase:
        """Return the receipts with proofs under the newest checkpoint.

        `threada_verify.py` checks the archive without this system or its database.
        """
        download = open_evidence(self.get_object())
        if request.method == "HEAD":
            return HttpResponse(status=download.status, headers=download.headers)
        return StreamingHttpResponse(download.content, status=download.status, headers=download.headers)


def _retry_after(export: TelemetryExport) -> dict[str, Any]:
    """Return the header Retry-After while an export is being written."""
    waits = ExportStatus(export.status) in (ExportStatus.REQUESTED, ExportStatus.RUNNING)
    return {"Retry-After": "1"} if waits else {}
