"""Answer to a form without a valid CSRF token."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from telemetry.receipts.refusals import record_refusal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 (signature of Django)
    """Return a page with advice, and write the receipt of the refusal if the tenant is known."""
    refusal = errors.CsrfFailed()
    context: ActingContext | None = getattr(request, "acting_context", None)
    method = request.method or ""
    if context is None:
        record_refusal(None, refusal, method=method, path=request.path)
    else:
        with unit_of_work(context.tenant_id):
            record_refusal(context, refusal, method=method, path=request.path)
    return render(request, "403.html", {"reason": refusal.detail}, status=403)
