"""Addresses of the MCP server and of its gateway. Their code and the SDK are loaded by the first request."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def serve(request: HttpRequest, integration_id: str | None = None) -> HttpResponseBase:
    from workitems.mcp.endpoint import serve as serve_loaded

    return serve_loaded(request, integration_id)


serve.takes_tenant_credential = True  # type: ignore[attr-defined]

urlpatterns = [path("mcp", serve), path("mcp/<str:integration_id>", serve)]
