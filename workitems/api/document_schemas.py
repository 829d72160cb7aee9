"""JSON Schemas of configuration documents, for editors."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, Final

import orjson
from django.http import HttpResponse, HttpResponseNotModified

from threada_site.api.operations import Representation, operation
from threada_site.api.system import PublicView
from threada_site.kernel.errors import NotFound
from workitems.configuration.schemas import published_schema, schema_names

DOCUMENT_SCHEMA: Final = Representation(
    "DocumentSchema",
    {"type": "object", "description": "A JSON Schema (2020-12)."},
    media_type="application/schema+json",
)
MAX_AGE_S: Final = 3600


class DocumentSchema(PublicView):
    @operation(
        "getDocumentSchema",
        "JSON Schema of a kind of configuration document",
        tag="System",
        answers={200: DOCUMENT_SCHEMA},
        reasons=("not_found",),
    )
    def get(self, request: Any, kind: str) -> HttpResponse:
        """Kinds are written in lower case; `document` is the schema of documents of all kinds."""
        found = _published(kind)
        if found is None:
            raise NotFound(f"There is no schema of this kind. Use one of {', '.join(schema_names())}.")
        body, tag = found
        headers = {"ETag": tag, "Cache-Control": f"public, max-age={MAX_AGE_S}"}
        if request.headers.get("If-None-Match") == tag:
            return HttpResponseNotModified(headers=headers)
        return HttpResponse(body, content_type=DOCUMENT_SCHEMA.media_type, headers=headers)


def _published(kind: str) -> tuple[bytes, str] | None:
    """Return the bytes of a schema and their entity tag, or None if there is no such schema."""
    return _serialized(kind) if kind in schema_names() else None


@cache
def _serialized(kind: str) -> tuple[bytes, str]:
    body = orjson.dumps(published_schema(kind))
    return body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'
