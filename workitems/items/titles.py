"""Titles of stored work items, and the key of related ones."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any, Final

from django.db.models import OuterRef, QuerySet, Subquery

from integrations.models import Execution
from policies.documents.workflow import WorkflowDocument
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.personal_data.erasable_fields import is_erased
from workitems import selectors
from workitems.display.formats import value_at
from workitems.display.marks import with_mark
from workitems.display.titles import default_title, title_from
from workitems.items.sensitive import is_sensitive, with_data_class
from workitems.models import WorkItem

DERIVED: Final = ("title", "related_key")
"""Columns that are computed from the payload and change with it."""


def derive_from_payload(item: WorkItem, document: WorkflowDocument, *, name: str = "") -> None:
    """Set the columns that follow from the payload. `name` is the label of the workflow.

    The title is encrypted and erased like the payload. A case about a person gets no related key, because a digest
    would let somebody without the person's key confirm a guess.
    """
    title = ""
    if document.title:
        title = title_from(
            document.title,
            item.payload,
            item_id=item.id,
            workflow=item.workflow,
            external_ref=item.external_ref,
        )
    item.title = title or default_title(item.workflow, item.id, name=name)
    item.related_key = "" if item.subject_id is not None else related_key(item.workflow, item.payload, document)


def related_key(workflow: str, payload: Any, document: WorkflowDocument) -> str:
    """Return the digest of the values at `related_by`; empty if there are none or one of them is missing."""
    values = [value_at(payload, pointer) for pointer in document.related_by]
    if not values or any(value is None or value == "" or isinstance(value, dict | list) for value in values):
        return ""
    return canonical_sha256([workflow, list(document.related_by), values])


def title_of(item: WorkItem) -> str:
    """Return the title of an item for its own page; after an erasure the default title."""
    is_gone = is_erased(item.title) or not item.title
    return default_title(item.workflow, item.id) if is_gone else with_mark(str(item.title))


def listed_title(item: WorkItem) -> str:
    """Return the title of an item for lists and messages: the default title for sensitive data classes."""
    return default_title(item.workflow, item.id) if is_sensitive(item.data_class) else title_of(item)


def listed_titles(items: Collection[uuid.UUID], *, ctx: ActingContext) -> dict[uuid.UUID, str]:
    """Return the listed titles of those of `items` that the context may read. For `THREADA_CASE_TITLES_HANDLER`."""
    rows = selectors.work_items(ctx).filter(id__in=items).defer("payload", "payload_salt", "ended_reason")
    return {item.id: listed_title(item) for item in rows}


def with_titles(executions: QuerySet[Execution]) -> QuerySet[Any]:
    """Annotate executions with title and data class of their work items, for `title_of_execution`."""
    items = WorkItem.objects.filter(tenant_id=OuterRef("tenant_id"), id=OuterRef("work_item_id"))
    return with_data_class(executions).annotate(item_title=Subquery(items.values("title")))


def title_of_execution(execution: Any) -> str:
    """Return the title of the work item of an execution of `with_titles`, for lists."""
    title = execution.item_title
    if not title or is_erased(title) or is_sensitive(execution.data_class):
        return default_title(execution.workflow, execution.work_item_id)
    return with_mark(str(title))
