"""Short addresses of the request portal: browsers at `/` and `/request/…` are sent to the console.

Clients of the API, which do not ask for HTML, get the answers of the API.
"""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.urls import reverse


def to_home(request: HttpRequest) -> HttpResponseRedirect:
    """Redirect a browser to the first page of the console."""
    return _redirect(request, reverse("admin:index"))


def to_request_form(request: HttpRequest, slug: str) -> HttpResponseRedirect:
    """Redirect a browser to the form of a workflow, with the values of the link."""
    return _redirect(request, reverse("admin:request_form", args=[slug]))


def _redirect(request: HttpRequest, address: str) -> HttpResponseRedirect:
    if request.method not in ("GET", "HEAD") or "text/html" not in request.headers.get("Accept", ""):
        raise Http404
    query = request.META.get("QUERY_STRING", "")
    response = HttpResponseRedirect(f"{address}?{query}" if query else address)
    response.headers["Vary"] = "Accept"
    return response
