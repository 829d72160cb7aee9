"""Problem documents of the web server itself. Imports no Django, because any WSGI application can be served."""

from __future__ import annotations

import json
from typing import Any

from threada_site.api.correlation import HEADER, correlation_id_for
from threada_site.kernel.errors import ThreadaError

type Headers = list[tuple[str, str]]


class ClientIsGoneError(Exception):
    """The client closed its connection, or sent a body that is not framed as HTTP says. Nobody reads an answer."""


def refusal_answer(error: ThreadaError, headers: Any) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of a refusal that ends the connection. `headers`: those of the request."""
    correlation_id = correlation_id_for(headers.get("threada-correlation-id"), headers.get("traceparent"))
    body = json.dumps(refusal_document(error, correlation_id=correlation_id)).encode()
    own = [
        ("content-type", "application/problem+json"),
        ("content-length", str(len(body))),
        ("cache-control", "no-store"),
        ("connection", "close"),
        (HEADER.lower(), correlation_id),
    ]
    return error.status, own + [(name.lower(), value) for name, value in error.headers.items()], body


def refusal_document(error: ThreadaError, *, correlation_id: str) -> dict[str, Any]:
    """Return the members of the API's problem documents."""
    return {
        "type": f"/docs/reason-codes#{error.reason_code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "category": error.category.value,
        "reason_code": error.reason_code,
        "correlation_id": correlation_id,
        "errors": [],
    }
