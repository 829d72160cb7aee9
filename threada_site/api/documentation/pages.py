"""OpenAPI document and documentation pages, served from this host with a matching content security policy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, Final

import orjson
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from threada_site.api.reason_codes import reasons_by_category

# Swagger UI sets style attributes by script and loads its icons from data: URLs.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _page(view: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    @wraps(view)
    @require_safe
    def with_policy(request: HttpRequest) -> HttpResponse:
        response = view(request)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Frame-Options"] = "DENY"
        return response

    return with_policy


@require_safe
def openapi_document(request: HttpRequest) -> HttpResponse:
    """Return `/openapi.json`, which does not change during the life of a process."""
    body, tag = _document()
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified(headers={"ETag": tag})
    return HttpResponse(body, content_type="application/json", headers={"ETag": tag})


@_page
def api_page(request: HttpRequest) -> HttpResponse:
    """Return `/docs`: Swagger UI."""
    return render(request, "docs/api.html", {"page": "api"})


@_page
def reason_codes_page(request: HttpRequest) -> HttpResponse:
    """Return `/docs/reason-codes`, the target of a problem's `type`."""
    return render(request, "docs/reason_codes.html", {"page": "reasons", "categories": reasons_by_category()})


def openapi_schema() -> dict[str, Any]:
    """Return the OpenAPI document as Python values."""
    return SchemaGenerator().get_schema(request=None, public=True)


@cache
def _document() -> tuple[bytes, str]:
    body = orjson.dumps(openapi_schema())
    return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'
