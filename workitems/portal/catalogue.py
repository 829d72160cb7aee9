"""Workflows that a person may request: those that declare `request`, where the person may create work items."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from django.db.models.fields.json import KeyTextTransform

from policies import selectors as policy_selectors
from policies.documents.workflow import WorkflowDocument
from policies.documents.workflow_request import RequestDeclaration
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope
from workitems.portal.schema_parts import cut

MOST_SHOWN: Final = 200
_ABOUT: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Workflow of the catalogue."""

    slug: str
    name: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Requestable:
    """Workflow in force with its declaration."""

    slug: str
    name: str
    version_id: uuid.UUID
    document: WorkflowDocument
    declared: RequestDeclaration

    @property
    def takes_drafts(self) -> bool:
        """Return False for workflows about data subjects: contents are encrypted in cases only."""
        return not self.document.subject


def catalogue(ctx: ActingContext, *, sought: str = "") -> list[Entry]:
    """Return the workflows that the acting person may request, by name. `sought` is a part of name or description."""
    if not ctx.is_person or not ctx.has_scope_anywhere(Scope.WORKITEMS_WRITE):
        return []
    rows = policy_selectors.all_workflows(ctx).filter(current_version__spec__has_key="request")
    granted = ctx.workflows_with(Scope.WORKITEMS_WRITE)
    if granted is not None:
        rows = rows.filter(id__in=granted)
    # Payload schemas have up to 1 MB each and are not read.
    found = rows.annotate(about=KeyTextTransform("description", "current_version__spec")).values_list(
        "slug", "name", "about"
    )
    entries = [Entry(slug=slug, name=name or slug, about=cut(about, _ABOUT)) for slug, name, about in found]
    wanted = sought.casefold()
    shown = [entry for entry in entries if wanted in f"{entry.name}\n{entry.slug}\n{entry.about}".casefold()]
    return sorted(shown, key=lambda entry: (entry.name.casefold(), entry.slug))[:MOST_SHOWN]


def requestable(slug: str, *, ctx: ActingContext) -> Requestable | None:
    """Return a workflow that the acting person may request, or None."""
    if not ctx.is_person or not ids.is_slug(slug):
        return None
    found = policy_selectors.all_workflows(ctx).filter(slug=slug).defer("current_version__spec").first()
    if found is None or found.current_version is None or not ctx.allows(Scope.WORKITEMS_WRITE, workflow=found.id):
        return None
    document = policy_selectors.workflow_document(found.current_version.id, ctx=ctx)
    if document.request is None:
        return None
    return Requestable(
        slug=slug,
        name=found.name or slug,
        version_id=found.current_version.id,
        document=document,
        declared=document.request,
    )
