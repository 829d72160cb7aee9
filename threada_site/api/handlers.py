"""Answers outside of views: unknown addresses, unreadable requests, errors above the views."""

from __future__ import annotations

from typing import Final

import orjson
import structlog
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.views import defaults

from threada_site.api.problems import CONTENT_TYPE, problem_document
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
    """Handle 500. Django has logged the error."""
    return defaults.server_error(request) if _is_console(request) else problem(request, errors.InternalError())


def _is_console(request: HttpRequest) -> bool:
    return request.path == CONSOLE or request.path.startswith(f"{CONSOLE}/")
