"""Endpoints `/telemetry/exports`: files of receipts for download."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.response import Response

from telemetry import selectors
from telemetry.api.resources.exports import DOWNLOAD, EXPORT
from telemetry.api.shapes import CREATE_EXPORT
from telemetry.exports.download import open_download
from telemetry.exports.request import cancel_export, create_export, retry_export
from telemetry.lifecycle import ExportStatus
from telemetry.models import TelemetryExport
from threada_site.api.filters import NoFilters, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import page_of
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope


class TelemetryExports(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ, "POST": Scope.TELEMETRY_READ}

    @operation(
        "listExports",
        "List exports, newest first",
        tag="Telemetry",
        answers={200: page_of(EXPORT)},
        filters=NoFilters,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        rows = apply_filters(NoFilters, selectors.exports(request.auth), request)
        return Response(paginate(rows, request, represent=EXPORT.represent))

    @operation(
        "createExport",
        "Write a selection of receipts to a file for download",
        tag="Telemetry",
        body=CREATE_EXPORT,
        answers={202: EXPORT},
        headers=("Location", "Retry-After"),
        reasons=("window_too_large", "optional_package_missing", "quota_exceeded"),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        """Create an export. A small one is `ready` in this response; a job writes a larger one.

        Read a larger export until it is `ready`. The file contains the receipts committed when writing started, and
        every download returns the same bytes. No format contains the signatures of receipts; the evidence of an export
        in the format `ndjson` does.
        """
        body = CREATE_EXPORT.check(request.data)
        filters = dict(body.get("filters", {}))
        filters.update({name: body[name] for name in ("created_after", "created_before") if name in body})
        export = create_export(
            filters,
            ctx=request.auth,
            file_format=body.get("format", "ndjson"),
            compression=body.get("compression", "none"),
        )
        return _answer(export, status=202, headers={"Location": f"/telemetry/exports/{export.public_id}"})


class TelemetryExportDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation(
        "readExport",
        "Read an export and its progress",
        tag="Telemetry",
        answers={200: EXPORT},
        headers=("Retry-After",),
    )
    def get(self, request: Any, export_id: str) -> Response:
        return _answer(export_named(request, export_id))


class CancelTelemetryExport(TenantView):
    scopes: ClassVar = {"POST": Scope.TELEMETRY_READ}

    @operation(
        "cancelExport",
        "Cancel an export or delete its file",
        tag="Telemetry",
        body=EMPTY,
        answers={200: EXPORT},
        reasons=("transition_not_allowed",),
    )
    @idempotent
    def post(self, request: Any, export_id: str) -> Response:
        EMPTY.check(request.data)
        export = export_named(request, export_id, for_update=True)
        cancel_export(export, ctx=request.auth)
        return Response(EXPORT.represent(export))


class RetryTelemetryExport(TenantView):
    scopes: ClassVar = {"POST": Scope.TELEMETRY_READ}

    @operation(
        "retryExport",
        "Retry a failed export with the same selection",
        tag="Telemetry",
        body=EMPTY,
        answers={202: EXPORT},
        headers=("Retry-After",),
        reasons=("transition_not_allowed", "quota_exceeded"),
    )
    @idempotent
    def post(self, request: Any, export_id: str) -> Response:
        EMPTY.check(request.data)
        export = export_named(request, export_id, for_update=True)
        retry_export(export, ctx=request.auth)
        return _answer(export, status=202)


class DownloadTelemetryExport(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}
    content_negotiation_class = AnyNegotiation

    @operation(
        "downloadExport",
        "Download an export or a byte range of it",
        tag="Telemetry",
        answers={200: DOWNLOAD, 206: DOWNLOAD},
        headers=("ETag", "Accept-Ranges", "Content-Range"),
        reasons=("export_not_ready", "export_gone", "export_target_unavailable", "range_not_satisfiable"),
    )
    def get(self, request: Any, export_id: str) -> HttpResponseBase:
        """Every download returns the same bytes.

        Continue an interrupted download with `Range: bytes=<have>-` and `If-Range: <ETag>` (206).
        """
        download = open_download(
            export_named(request, export_id),
            asked=request.META.get("HTTP_RANGE"),
            if_range=request.META.get("HTTP_IF_RANGE"),
        )
        if request.method == "HEAD":
            download.content.close()  # type: ignore[attr-defined]
            return HttpResponse(status=download.status, headers=download.headers)
        return StreamingHttpResponse(download.content, status=download.status, headers=download.headers)


def _answer(export: TelemetryExport, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return the export as a response, with Retry-After while it is being written."""
    waits = ExportStatus(export.status) in (ExportStatus.REQUESTED, ExportStatus.RUNNING)
    retry = {"Retry-After": "1"} if waits else {}
    return Response(EXPORT.represent(export), status=status, headers={**(headers or {}), **retry})


def export_named(request: Any, export_id: str, *, for_update: bool = False) -> TelemetryExport:
    """Return the export that the path names. Raises `NotFound`."""
    rows = selectors.exports(request.auth)
    export = (rows.select_for_update() if for_update else rows).filter(id=path_id(ids.EXPORT, export_id)).first()
    if export is None:
        raise errors.NotFound
    return export
