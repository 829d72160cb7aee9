"""Marks of work items whose document of words is outdated. Call `note_change` where a title, a payload or a comment
changes, and where somebody votes."""

from __future__ import annotations

import uuid

from threada_site.database.batched_writes import insert_rows
from workitems.search.models import SearchChange


def note_change(work_item_id: uuid.UUID, *, tenant_id: uuid.UUID) -> None:
    """Let the next sweep write the document of a work item again, within seconds. New items need no mark."""
    insert_rows(SearchChange(tenant_id=tenant_id, work_item_id=work_item_id))
