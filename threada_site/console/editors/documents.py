"""Answers to the editor of documents: completion from the JSON Schema of a kind, and errors by line and column.

Both read the sent text only: no object of the tenant is looked up, so nothing of it can be found out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse

from integrations.connectors.answer_conditions import read_tested
from policies.documents.calendar import parse_calendar
from policies.documents.channel import parse_channel
from policies.documents.list import parse_list
from policies.documents.overlay import parse_overlay
from policies.documents.pack import parse_pack
from policies.documents.workflow import parse_workflow
from threada_site.identity.providers.documents import parse_provider
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.documents.completion import suggestions
from threada_site.kernel.documents.reader import Document, load_documents
from threada_site.kernel.errors import DocumentInvalid, FieldError, ThreadaError
from workitems.configuration.schemas import published_schema

MOST_CHARACTERS: Final = 200_000
"""Longer texts are checked when they are saved."""
_WRITERS: Final = (Scope.POLICIES_WRITE, Scope.POLICIES_PUBLISH, Scope.WORKFLOW_MANAGE, Scope.INTEGRATIONS_MANAGE)


def _read_integration(value: Any) -> None:
    is_whole = isinstance(value, dict) and ("kind" in value or "spec" in value)
    read_tested(value.get("spec") if is_whole else value, pointer="/spec" if is_whole else "")


_PARSERS: Final[dict[str, Callable[[Any], object]]] = {
    "Calendar": parse_calendar,
    "Channel": parse_channel,
    "IdentityProvider": parse_provider,
    "Integration": _read_integration,
    "List": parse_list,
    "Overlay": parse_overlay,
    "Pack": parse_pack,
    "TrustedIssuer": parse_trusted_issuer,
    "Workflow": parse_workflow,
}


def complete(request: HttpRequest, ctx: ActingContext) -> HttpResponse:
    """Return words for the end of the text in `before`, for a document of `kind`."""
    _require_writer(ctx)
    schema = published_schema(request.POST.get("kind", ""))
    if schema is None:
        raise Http404
    found = suggestions(_text(request, "before"), schema)
    return JsonResponse(
        {"suggestions": [{"text": entry.text, "is_key": entry.is_key, "about": entry.about} for entry in found]}
    )


def check(request: HttpRequest, ctx: ActingContext) -> HttpResponse:
    """Return the errors of the text in `document` with their positions."""
    _require_writer(ctx)
    kind = request.POST.get("kind", "")
    if kind and kind not in _PARSERS:
        raise Http404
    marks = [
        {"kind": "error", "line": entry.line or 1, "column": entry.column or 1, "detail": entry.detail}
        for entry in text_errors(_text(request, "document"), kind=kind)
    ]
    return JsonResponse({"marks": marks})


def text_errors(text: str, *, kind: str) -> list[FieldError]:
    """Return the errors of a text as a document of `kind`; with "", as any one YAML or JSON value."""
    if len(text) > MOST_CHARACTERS:
        return []
    try:
        documents = load_documents(text, source="")
    except DocumentInvalid as error:
        return [_without_source(entry) for entry in error.errors or (_unplaced(error.detail),)]
    if len(documents) != 1:
        return [_unplaced(f"Enter one document; the text contains {len(documents)}.")]
    return list(_document_errors(documents[0], kind))


def _document_errors(document: Document, kind: str) -> Iterable[FieldError]:
    if not kind:
        return
    try:
        _PARSERS[kind](document.value)
    except ThreadaError as error:
        yield from (document.located(entry) for entry in error.errors or (_unplaced(error.detail),))


def _text(request: HttpRequest, name: str) -> str:
    return request.POST.get(name, "").replace("\r\n", "\n")


def _unplaced(detail: str) -> FieldError:
    return FieldError("", detail, "invalid", 1, 1)


def _without_source(entry: FieldError) -> FieldError:
    return FieldError(
        entry.pointer, entry.detail.removeprefix(f":{entry.line}: "), entry.code, entry.line, entry.column
    )


def _require_writer(ctx: ActingContext) -> None:
    if not any(ctx.has_scope_anywhere(scope) for scope in _WRITERS):
        raise PermissionDenied
