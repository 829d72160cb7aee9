"""Outermost middleware: correlation ids and host checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse

from threada_site.api.correlation import HEADER, correlation_id_for
from threada_site.api.handlers import bad_request
from threada_site.api.openapi import version
from threada_site.kernel import tracing

# Load balancers request these under any host name; the answers contain nothing to protect.
_PROBES: Final = frozenset({"/healthz", "/readyz"})
_WITHOUT_BODY: Final = frozenset({204, 304})


def correlation(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Return middleware that sets `request.correlation_id` and the response headers for id, API version and length."""

    def middleware(request: HttpRequest) -> HttpResponse:
        correlation_id = correlation_id_for(
            request.META.get("HTTP_THREADA_CORRELATION_ID"), request.META.get("HTTP_TRACEPARENT")
        )
        request.correlation_id = correlation_id  # type: ignore[attr-defined]
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(correlation_id=correlation_id)
        with (
            tracing.following(request.META.get("HTTP_TRACEPARENT")),
            tracing.span("request", "server", http__request__method=request.method or "") as span,
        ):
            response = get_response(request)
            _name(span, request, response)
        response.headers[HEADER] = correlation_id
        response.headers[version.HEADER] = version.API_VERSION
        if not response.streaming and response.status_code not in _WITHOUT_BODY:
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response

    return middleware


def _name(span: tracing.Span, request: HttpRequest, response: HttpResponse) -> None:
    """Name the span after the route. Paths contain ids and would produce unlimited span names."""
    match = request.resolver_match
    route = f"/{match.route}" if match and match.route else ""
    span.rename(f"{request.method} {route or 'no route'}")
    span.note(http__route=route, http__response__status_code=response.status_code)
    if response.status_code >= 500:
        span.fail(str(response.status_code))


def known_host(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Return middleware that refuses (400) a `Host` that is not allowed, to prevent DNS rebinding."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.path not in _PROBES:
            try:
                request.get_host()
            except DisallowedHost as refusal:
                return bad_request(request, refusal)
        return get_response(request)

    return middleware
