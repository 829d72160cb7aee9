"""Titles of stored work items."""

from __future__ import annotations

from policies.documents.workflow import WorkflowDocument
from threada_site.personal_data.erasable_fields import is_erased
from workitems.display.titles import default_title, title_from
from workitems.items.sensitive import is_sensitive
from workitems.models import WorkItem


def title_of_contents(item: WorkItem, document: WorkflowDocument, *, name: str = "") -> str:
    """Return the title to store with the payload of `item`.

    The column is encrypted and erased like the payload. `name` is the label of the workflow.
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
    return title or default_title(item.workflow, item.id, name=name)


def title_of(item: WorkItem) -> str:
    """Return the title of an item for its own page; after an erasure the default title."""
    return default_title(item.workflow, item.id) if is_erased(item.title) or not item.title else str(item.title)


def listed_title(item: WorkItem) -> str:
    """Return the title of an item for lists and messages: the default title for sensitive data classes."""
    return default_title(item.workflow, item.id) if is_sensitive(item.data_class) else title_of(item)
