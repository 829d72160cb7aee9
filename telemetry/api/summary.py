"""Endpoint `/telemetry/summary`: counts of governed work."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from telemetry import selectors
from telemetry.api.resources.summary import SUMMARY
from telemetry.summary.filters import SummaryFilters
from telemetry.summary.summarize import days_of, summarize
from threada_site.api.filters import apply_filters, read_instant
from threada_site.api.operations import operation
from threada_site.api.views import TenantView
from threada_site.kernel import clock
from threada_site.kernel.context import Scope


class TelemetrySummary(TenantView):
    scopes: ClassVar = {"GET": Scope.TELEMETRY_READ}

    @operation(
        "readSummary",
        "Metrics of governed work over whole days",
        tag="Telemetry",
        description=(
            "Counted as receipts are sealed, so about a second behind them. The window is widened to whole days (UTC), "
            "is the last 31 days unless said, and 366 days at most."
        ),
        answers={200: SUMMARY},
        filters=SummaryFilters,
        is_read_from_replica=True,
        reasons=("window_too_large",),
    )
    def get(self, request: Any) -> Response:
        counts = selectors.summary_counts(request.auth)
        apply_filters(SummaryFilters, counts, request)
        asked = request.query_params
        first, last = days_of(
            read_instant(asked.get("created_after")), read_instant(asked.get("created_before")), now=clock.now()
        )
        group_by = asked.get("group_by") or None
        bound = SummaryFilters(data=request.query_params, queryset=counts)
        summary = summarize(bound, first, last, ctx=request.auth, group_by=group_by)
        return Response(SUMMARY.represent(summary, group_by=group_by))
