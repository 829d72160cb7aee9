"""Answers to forms without a valid CSRF token, and to large ones of people who have not signed in."""

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


def too_large(request: HttpRequest) -> HttpResponse:
    """Return a page for a form that is not read, because nobody has signed in and it is large."""
    refusal = errors.PayloadTooLarge("Sign in before you send a form of this size.")
    record_refusal(refusal, ctx=None, request=request)
    return render(request, "413.html", {"reason": refusal.detail}, status=refusal.status)
