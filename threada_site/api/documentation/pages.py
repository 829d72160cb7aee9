"""OpenAPI document and documentation pages, served from this host with a matching content security policy."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any, Final

import orjson
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from threada_site.api.openapi.version import API_VERSION
from threada_site.api.reason_codes import reasons_by_category
from threada_site.environment import BASE_DIR

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
    """Return `/openapi.json`, compressed if the client accepts it. It is the same during the life of a process."""
    plain, packed, digest = _document()
    is_packed = "gzip" in request.headers.get("Accept-Encoding", "")
    tag = f'"{digest}-gzip"' if is_packed else f'"{digest}"'
    headers = {"ETag": tag, "Vary": "Accept-Encoding"}
    if tag in request.headers.get("If-None-Match", ""):
        return HttpResponseNotModified(headers=headers)
    if is_packed:
        headers["Content-Encoding"] = "gzip"
    return HttpResponse(packed if is_packed else plain, content_type="application/json", headers=headers)


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


def document_path() -> Path:
    """Return the file of the OpenAPI document of this version: in the wheel, or among the documents of a checkout."""
    in_wheel = BASE_DIR / "threada_site" / "openapi.json"
    return in_wheel if in_wheel.is_file() else BASE_DIR / "docs" / "reference" / f"openapi-{API_VERSION}.json"


@cache
def _document() -> tuple[bytes, bytes, str]:
    """Return the document, its compressed form and its digest. It is made by `write_openapi`, which takes seconds."""
    path = document_path()
    body = orjson.dumps(orjson.loads(path.read_bytes()) if path.is_file() else openapi_schema())
    return body, gzip.compress(body, mtime=0), hashlib.sha256(body).hexdigest()[:32]
