"""Requests of web pages of other origins (CORS): answered only if a tenant lists the origin, and never with cookies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from django.utils.cache import patch_vary_headers

from threada_site.api.views import TenantView
from threada_site.tenancy.browser_origins import is_listed

METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS: Final = (
    "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Mcp-Method, Mcp-Name, "
    "MCP-Protocol-Version, Prefer, Range, Threada-Correlation-Id, Threada-Role, Threada-Tenant"
)
RESPONSE_HEADERS: Final = (
    "Content-Disposition, Content-Range, Deprecation, ETag, Idempotent-Replayed, Location, Preference-Applied, "
    "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, Sunset, Threada-Correlation-Id, "
    "Threada-Version"
)
_PREFLIGHT_KEPT_S: Final = "600"


def cross_origin(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Return middleware that answers preflights and lets pages of listed origins read answers of the API in a tenant.

    A preflight has no credential, so an origin that any tenant lists passes it. The answer itself can be read only
    if the tenant of the credential lists the origin, or, for a failed authentication, any tenant does.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        origin = request.META.get("HTTP_ORIGIN")
        if origin is None:
            return get_response(request)
        if request.method == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.META:
            if _is_in_tenant(request) and is_listed(origin):
                return _preflight(origin)
            return get_response(request)
        response = get_response(request)
        context = getattr(request, "acting_context", None)
        if _is_in_tenant(request) and is_listed(origin, tenant_id=context.tenant_id if context else None):
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = RESPONSE_HEADERS
        patch_vary_headers(response, ["Origin"])
        return response

    return middleware


def _preflight(origin: str) -> HttpResponse:
    headers = {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": REQUEST_HEADERS,
        "Access-Control-Max-Age": _PREFLIGHT_KEPT_S,
        "Vary": "Origin",
    }
    return HttpResponse(status=204, headers=headers)


def _is_in_tenant(request: HttpRequest) -> bool:
    """Return True for views of the API that take a credential of a tenant; never for the console and SCIM."""
    try:
        found = resolve(request.path_info).func
    except Resolver404:
        return False
    view = getattr(found, "cls", None)
    return getattr(found, "takes_tenant_credential", False) or (isinstance(view, type) and issubclass(view, TenantView))
