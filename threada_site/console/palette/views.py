"""The page of the command palette, and the answers to its script."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from threada_site.console.palette.entries import sections
from threada_site.console.public_id_urls import url_for_public_id
from threada_site.database.router import read_alias
from threada_site.kernel.errors import ThreadaError
from workitems.search.query import LONGEST

_ON_PAGE = 50


def find_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Show what matches `q`. Redirect to the page of a public id."""
    text = request.GET.get("q", "").strip()
    address = url_for_public_id(text)
    if address is not None:
        return HttpResponseRedirect(address)
    found, problem = _found(request, text, most_items=_ON_PAGE)
    shown = {"title": _("Search"), "text": text, "sections": found, "problem": problem, "longest": LONGEST}
    return TemplateResponse(request, "console/find.html", {**context, **shown})


def suggest(request: HttpRequest) -> JsonResponse:
    """Return the sections that match `q`, for the script of the palette."""
    found, problem = _found(request, request.GET.get("q", "").strip())
    return JsonResponse({"sections": [asdict(section) for section in found], "problem": problem})


def _found(request: HttpRequest, text: str, **limits: int) -> tuple[list[Any], str]:
    """Return the sections and the refusal of the search, after which the unit of work can be used further."""
    try:
        with transaction.atomic(using=read_alias()):
            return sections(request, text, **limits), ""
    except ThreadaError as refusal:
        return [], refusal.detail
