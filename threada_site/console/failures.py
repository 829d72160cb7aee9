"""Answer to a form without a valid CSRF token."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from threada_site.api.refusals import record_refusal
from threada_site.kernel import errors


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 (signature of Django)
    """Return a page with advice, and write the receipt of the refusal if the tenant is known."""
    refusal = errors.CsrfFailed()
    record_refusal(refusal, ctx=getattr(request, "acting_context", None), request=request)
    return render(request, "403.html", {"reason": refusal.detail}, status=403)
