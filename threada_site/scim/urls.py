"""Addresses of the SCIM server. Its code and libraries are loaded by the first request."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def serve(request: HttpRequest, **where: Any) -> HttpResponseBase:
    from threada_site.scim.views import serve as serve_loaded

    answer: HttpResponseBase = serve_loaded(request, **where)
    return answer


urlpatterns = [
    path("scim/v2/<str:tenant>", serve, {"path": ""}),
    re_path(r"^scim/v2/(?P<tenant>[^/]+)/(?P<path>.*)\Z", serve),
]
