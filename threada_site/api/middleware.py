"""The outermost layer of every request: its correlation id, bound to the logs and returned in a header."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.http import HttpRequest, HttpResponse

from threada_site.api.correlation import HEADER, correlation_id_for


def correlation(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware: set `request.correlation_id` and answer with it."""

    def middleware(request: HttpRequest) -> HttpResponse:
        correlation_id = correlation_id_for(
            request.META.get("HTTP_THREADA_CORRELATION_ID"), request.META.get("HTTP_TRACEPARENT")
        )
        request.correlation_id = correlation_id  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id)
        response = get_response(request)
        response.headers[HEADER] = correlation_id
        return response

    return middleware
