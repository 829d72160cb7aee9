"""Answers with the text of a document as it was written, with its comments and the order of its keys."""

from __future__ import annotations

import uuid
from typing import Any, Final

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponse

from threada_site.api.filters import WholeNumberFilter, apply_filters
from threada_site.api.resources.resource import Representation
from threada_site.kernel import errors

_YAML: Final = "application/yaml"
DOCUMENT_SOURCE: Final = Representation(
    "DocumentSource",
    {"type": "string", "description": "A document as YAML or JSON text."},
    media_type=_YAML,
    is_download=True,
)


class SourceVersion(django_filters.FilterSet):
    """Version whose text is returned."""

    version = WholeNumberFilter(field_name="number", label="Number of the version; absent: the current one.")


def version_asked(rows: QuerySet[Any], current_id: uuid.UUID | None, request: Any) -> Any:
    """Return the version that the parameter `version` names, or the current one. Raise `NotFound`."""
    found = apply_filters(SourceVersion, rows, request)
    version = (found if "version" in request.query_params else found.filter(id=current_id)).first()
    if version is None:
        raise errors.NotFound
    return version


def source_answer(text: str) -> HttpResponse:
    return HttpResponse(text, content_type=f"{_YAML}; charset=utf-8", headers={"Cache-Control": "private, no-store"})
