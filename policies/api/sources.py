"""`/lists/{list_id}/source`: a list as it was written."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.decorators import action

from policies.configuration.texts import list_version_text
from policies.models import ListVersion
from threada_site.api.document_sources import DOCUMENT_SOURCE, SourceVersion, source_answer, version_asked
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import operation
from threada_site.api.permissions import require_reader
from threada_site.kernel.context import Scope


@action(detail=True, content_negotiation_class=AnyNegotiation)
@operation(
    "readListSource",
    "Read a list as it was written",
    scope=Scope.WORKITEMS_READ,
    answers={200: DOCUMENT_SOURCE},
    filters=SourceVersion,
    reasons=("permission_denied",),
)
def source(view: Any, request: Any, **_path: str) -> HttpResponse:
    """Return the text of a version with its comments. If none is stored, it is written from the version."""
    require_reader(request.auth)
    found = view.get_object()
    rows = ListVersion.objects.filter(tenant_id=request.auth.tenant_id, list=found).select_related("list")
    return source_answer(list_version_text(version_asked(rows, found.current_version_id, request)))
