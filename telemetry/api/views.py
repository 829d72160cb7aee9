"""Endpoints `/telemetry/events` and `/receipts`."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from telemetry import selectors
from telemetry.api.resources.log import EVENT
from telemetry.exports.request import bounded_window
from telemetry.receipts.filters import EventFilters
from threada_site.api.filters import apply_filters, order_of, read_instant
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import page_of
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import Scope


class TelemetryEvents(TenantView):
    """Receipts as events, newest first, within a bounded window."""

    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation(
        "listEvents",
        "Receipts as events, over a bounded window",
        tag="Telemetry",
        answers={200: page_of(EVENT)},
        filters=EventFilters,
        is_paged=True,
        reasons=("window_too_large",),
    )
    def get(self, request: Any) -> Response:
        rows = apply_filters(EventFilters, selectors.receipts(request.auth), request)
        chosen = bounded_window(
            read_instant(request.query_params.get("created_after")),
            read_instant(request.query_params.get("created_before")),
            now=clock.now(),
        )
        rows = rows.filter(id__gte=chosen.first_id, id__lt=chosen.end_id)
        return Response(paginate(rows, request, represent=EVENT.represent, order=order_of(EventFilters, request)))


class ReceiptDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation("readReceipt", "Read a receipt", tag="Telemetry", answers={200: EVENT})
    def get(self, request: Any, receipt_id: str) -> Response:
        receipt = selectors.receipts(request.auth).filter(id=path_id(ids.RECEIPT, receipt_id)).first()
        if receipt is None:
            raise errors.NotFound
        return Response(EVENT.represent(receipt))
