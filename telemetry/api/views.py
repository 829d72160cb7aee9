"""`/telemetry` and `/receipts`: reading the ledger and taking it along."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from rest_framework.response import Response

from telemetry import selectors
from telemetry.api.answers import EVENT, EXPORT, NDJSON
from telemetry.api.representations import represent_event, represent_export
from telemetry.api.shapes import CREATE_EXPORT
from telemetry.filters import ReceiptFilters
from telemetry.models import TelemetryExport
from telemetry.services.exports import bounded_window, create_export, stream_ndjson
from threada_site.api.filters import apply_filters, read_instant
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation, page_of
from threada_site.api.pagination import paginate
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import Scope


class TelemetryEvents(TenantView):
    """Receipts as events, newest first, over a bounded window."""

    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation(
        "listEvents",
        "Receipts as events, over a bounded window",
        tag="Telemetry",
        answers={200: page_of(EVENT)},
        filters=ReceiptFilters,
        is_paged=True,
        reasons=("window_too_large",),
    )
    def get(self, request: Any) -> Response:
        rows = apply_filters(ReceiptFilters, selectors.receipts(request.auth), request)
        chosen = bounded_window(
            read_instant(request.query_params.get("created_after")),
            read_instant(request.query_params.get("created_before")),
            now=clock.now(),
        )
        rows = rows.filter(id__gte=chosen.first_id, id__lt=chosen.end_id)
        return Response(paginate(rows, request, represent=represent_event))


class TelemetryExports(TenantView):
    scopes: ClassVar = {"POST": Scope.TELEMETRY_READ}

    @operation(
        "createExport",
        "Fix a selection of receipts for download",
        tag="Telemetry",
        body=CREATE_EXPORT,
        answers={202: EXPORT},
        headers=("Location",),
        reasons=("window_too_large",),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        body = CREATE_EXPORT.check(request.data)
        filters = dict(body.get("filters", {}))
        filters.update({name: body[name] for name in ("created_after", "created_before") if name in body})
        export = create_export(filters, ctx=request.auth)
        return Response(
            represent_export(export), status=202, headers={"Location": f"/telemetry/exports/{export.public_id}"}
        )


class TelemetryExportDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation("readExport", "Read an export", tag="Telemetry", answers={200: EXPORT})
    def get(self, request: Any, export_id: str) -> Response:
        return Response(represent_export(_found(request, export_id)))


class DownloadTelemetryExport(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation(
        "downloadExport",
        "Download an export: receipts byte for byte as they were hashed",
        tag="Telemetry",
        answers={200: NDJSON},
    )
    def get(self, request: Any, export_id: str) -> StreamingHttpResponse:
        export = _found(request, export_id)
        return StreamingHttpResponse(
            stream_ndjson(export),
            content_type="application/x-ndjson",
            headers={"Content-Disposition": f'attachment; filename="{export.public_id}.ndjson"'},
        )


class ReceiptDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation("readReceipt", "Read a receipt", tag="Telemetry", answers={200: EVENT})
    def get(self, request: Any, receipt_id: str) -> Response:
        receipt = selectors.receipts(request.auth).filter(id=path_id(ids.RECEIPT, receipt_id)).first()
        if receipt is None:
            raise errors.NotFound
        return Response(represent_event(receipt))


def _found(request: Any, export_id: str) -> TelemetryExport:
    export = selectors.exports(request.auth).filter(id=path_id(ids.EXPORT, export_id)).first()
    if export is None:
        raise errors.NotFound
    return export
