"""Answers outside of views: unknown addresses, unreadable requests, errors above the views."""

from __future__ import annotations

import sys
from typing import Final

import orjson
import structlog
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template
from django.utils.translation import gettext as _
from django.views import defaults

from threada_site.api.problems import CONTENT_TYPE, problem_document
from threada_site.api.refusals import as_threada_error
from threada_site.kernel import errors
from threada_site.kernel.errors import ThreadaError

CONSOLE: Final = "/console"

log = structlog.get_logger("threada.api")


def problem(request: HttpRequest, error: ThreadaError) -> HttpResponse:
    """Return `error` as a problem document, for code outside the API's views."""
    document = problem_document(error, correlation_id=getattr(request, "correlation_id", ""))
    return HttpResponse(
        orjson.dumps(document), status=document["status"], content_type=CONTENT_TYPE, headers=error.headers
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Handle 400: a host that is not allowed, or an unreadable path or header."""
    log.info("request_refused", reason_code="bad_request", path=request.path, error=type(exception).__name__)
    if _is_console(request):
        return defaults.bad_request(request, exception)
    if isinstance(exception, DisallowedHost):
        return problem(request, errors.BadRequest("This host is not allowed. Add it to THREADA_ALLOWED_HOSTS."))
    return problem(request, errors.BadRequest())


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Handle 403."""
    if _is_console(request):
        return defaults.permission_denied(request, exception)
    return problem(request, errors.PermissionDenied())


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Handle 404."""
    if _is_console(request):
        return defaults.page_not_found(request, exception)
    return problem(request, errors.NotFound("There is nothing at this address. See /docs."))


def server_error(request: HttpRequest) -> HttpResponse:
    """Handle 500. A failure with a type, such as a database that is not reached, has its own status and advice."""
    error = sys.exception()
    failure = as_threada_error(error) if isinstance(error, Exception) else errors.InternalError()
    if not _is_console(request):
        return problem(request, failure)
    if isinstance(failure, errors.InternalError):
        return defaults.server_error(request)
    shown = {"title": _(failure.title), "reason": _(failure.advice), "is_sent": request.method == "POST"}
    page = get_template("500.html").render(shown)  # without context processors, which may read the database
    return HttpResponse(page, status=failure.status, headers=failure.headers)


def _is_console(request: HttpRequest) -> bool:
    return request.path == CONSOLE or request.path.startswith(f"{CONSOLE}/")
