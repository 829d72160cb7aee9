"""RFC 9457 problem documents, the form of all refusals of the API."""

from __future__ import annotations

from typing import Any, Final

import psycopg
import structlog
from django.core.exceptions import BadRequest as DjangoBadRequest
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404
from psycopg_pool import PoolTimeout
from rest_framework import exceptions as drf
from rest_framework.response import Response

from threada_site.api.resources.field_types import INTEGER, OBJECTS, TEXT, choice
from threada_site.api.resources.resource import FieldType, Resource, field, given
from threada_site.kernel import errors
from threada_site.kernel.errors import REASONS, Category, ThreadaError

CONTENT_TYPE = "application/problem+json"

log = structlog.get_logger("threada.api")

PROBLEM: Final = Resource(
    "Problem",
    field(
        "type",
        TEXT,
        lambda error: f"/docs/reason-codes#{error.reason_code}",
        description="Address of the reason code's description.",
    ),
    field("title", TEXT),
    field("status", INTEGER),
    field("detail", TEXT, description="Sentence that says what to do."),
    field("category", choice(Category), "category.value"),
    field("reason_code", choice(reason.code for reason in REASONS.values() if reason.status is not None)),
    given("correlation_id", TEXT),
    field(
        "errors",
        FieldType(
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "pointer": {
                            "type": "string",
                            "description": "An RFC 6901 JSON pointer into the body, `?name` for a query parameter, "
                            "`#header/Name` for a header.",
                        },
                        "detail": TEXT.schema,
                        "code": TEXT.schema,
                        "line": {
                            "type": "integer",
                            "description": "Line in the sent text, or in the expression at pointer.",
                        },
                        "column": INTEGER.schema,
                    },
                    "required": ["pointer", "detail", "code"],
                },
            },
            lambda found: [entry.as_json() for entry in found],
        ),
    ),
    field(
        "reasons",
        FieldType(OBJECTS.schema, list),
        is_detail=True,
        description="Reasons of the tenant's policies, if a policy refuses.",
    ),
)


def problem_document(error: ThreadaError, *, correlation_id: str) -> dict[str, Any]:
    """Return the problem document of a refusal, with its extension members."""
    represent = PROBLEM.represent_whole if error.reasons else PROBLEM.represent
    return {**represent(error, correlation_id=correlation_id), **error.extensions}


def problem_response(error: ThreadaError, *, correlation_id: str) -> Response:
    """Return `error` as a response, with its headers."""
    document = problem_document(error, correlation_id=correlation_id)
    response = Response(document, status=document["status"], content_type=CONTENT_TYPE)
    for name, value in error.headers.items():
        response.headers[name] = value
    return response


def as_threada_error(error: Exception) -> ThreadaError:
    """Return the typed refusal for an exception. Unexpected exceptions are logged and reveal nothing."""
    if isinstance(error, ThreadaError):
        # The frames reference the request's body, which would stay in memory with the refusal.
        error.__context__ = error.__cause__ = None
        return error.with_traceback(None)
    if isinstance(error, Http404 | drf.NotFound):
        return errors.NotFound()
    if isinstance(error, drf.MethodNotAllowed):
        return errors.MethodNotAllowed(str(error.detail))
    if isinstance(error, drf.UnsupportedMediaType):
        return errors.UnsupportedMediaType("Send Content-Type: application/json.")
    if isinstance(error, RequestDataTooBig):
        return errors.PayloadTooLarge()
    if isinstance(error, drf.ParseError | DjangoBadRequest | SuspiciousOperation | UnicodeDecodeError):
        return errors.BadRequest()
    if isinstance(error, drf.PermissionDenied | DjangoPermissionDenied):
        return errors.PermissionDenied()
    if _says_nothing_can_be_written(error):
        log.error("audit_unavailable", exc_info=error)
        return errors.AuditUnavailable(headers={"Retry-After": "5"})
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        log.warning("database_unavailable", exc_info=error)
        return errors.ServiceUnavailable(headers={"Retry-After": "2"})
    log.error("unforeseen_error", exc_info=error)
    return errors.InternalError()


def _says_nothing_can_be_written(error: Exception) -> bool:
    """Return True if receipts, or the whole database, cannot be written (disk full, read-only standby)."""
    if not isinstance(error, DatabaseError):
        return False
    is_closed = isinstance(error.__cause__, psycopg.errors.DiskFull | psycopg.errors.ReadOnlySqlTransaction)
    return is_closed or (not isinstance(error, OperationalError) and "telemetry_" in str(error))


def handle_exception(error: Exception, context: dict[str, Any]) -> Response:
    """Handle exceptions of views for DRF. The view keeps the refusal and records it after the rollback."""
    refusal = as_threada_error(error)
    view = context.get("view")
    if view is not None:
        view.refusal = refusal
    return problem_response(refusal, correlation_id=context["request"]._request.correlation_id)
