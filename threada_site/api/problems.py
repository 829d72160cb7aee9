"""RFC 9457 problem documents, the form of all refusals of the API."""

from __future__ import annotations

from typing import Any, Final

from rest_framework.response import Response

from threada_site.api.refusals import as_threada_error
from threada_site.api.resources.field_types import INTEGER, TEXT, choice
from threada_site.api.resources.resource import FieldType, Resource, field, given
from threada_site.kernel.errors import REASONS, Category, ThreadaError

CONTENT_TYPE = "application/problem+json"

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
        FieldType(
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "reason": {"type": "string", "description": "Reason code of the rule."},
                        "policy": TEXT.schema,
                        "rule": TEXT.schema,
                        "message": {"type": "string", "description": "Message of the rule for people, if it has one."},
                    },
                    "required": ["reason"],
                    "additionalProperties": True,
                },
            },
            list,
        ),
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


def handle_exception(error: Exception, context: dict[str, Any]) -> Response:
    """Return the problem document of an exception: DRF's exception handler for views outside tenants."""
    return problem_response(as_threada_error(error), correlation_id=context["request"].correlation_id)
