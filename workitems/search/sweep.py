"""The sweep that writes documents: of new work items, and of those noted as changed.

Creating a work item writes nothing for the search. The sweep finds items without a document: those newer than the
newest document, less a margin for transactions that commit late and clocks that differ.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Exists, OuterRef

from threada_site.database.roles import platform_role
from threada_site.kernel import ids
from workitems.models import SearchChange, SearchDocument, WorkItem
from workitems.search.documents import write_documents

BATCH: Final = 500
MOST_BATCHES: Final = 40
MARGIN: Final = timedelta(minutes=15)
WINDOW: Final = timedelta(days=2)


def index_changes(*, now: datetime, is_asked_to_stop: Callable[[], bool] = lambda: False) -> int:
    """Write the documents of changed and of new work items in batches. Return their number.

    Stop after a batch if `is_asked_to_stop` returns True; the next call writes what is left.
    """
    written = 0
    for _ in range(MOST_BATCHES):
        with platform_role():
            changed = _take_changes()
            new = _without_document(_first_unindexed(now))
            write_documents(sorted({*changed, *new}))
        written += len(changed) + len(new)
        if (len(changed) < BATCH and len(new) < BATCH) or is_asked_to_stop():
            break
    return written


def index_missing(*, now: datetime) -> int:
    """Write the documents of work items of the last two days that `index_changes` has missed. Return their number."""
    return _index_from(ids.first_id_at(now - WINDOW), most=MOST_BATCHES)


def index_everything() -> int:
    """Write the documents of all work items again. Return their number."""
    written, last = 0, uuid.UUID(int=0)
    while True:
        with platform_role():
            batch = list(WorkItem.objects.filter(id__gt=last).order_by("id").values_list("id", flat=True)[:BATCH])
            written += write_documents(batch)
        if len(batch) < BATCH:
            return written
        last = batch[-1]


def _index_from(first: uuid.UUID, *, most: int) -> int:
    written = 0
    for _ in range(most):
        with platform_role():
            batch = _without_document(first)
            written += write_documents(batch)
        if len(batch) < BATCH:
            break
        first = batch[-1]
    return written


def _take_changes() -> list[uuid.UUID]:
    """Delete the oldest notes and return their items. Whoever changes an item later notes it again."""
    rows = SearchChange.objects.select_for_update(skip_locked=True).order_by("id")[:BATCH]
    taken = list(rows.values_list("id", "work_item_id"))
    SearchChange.objects.filter(id__in=[row_id for row_id, _ in taken]).delete()
    return [item_id for _, item_id in taken]


def _first_unindexed(now: datetime) -> uuid.UUID:
    """Return the id from which on items may lack a document."""
    newest = SearchDocument.objects.order_by("-id").values_list("id", flat=True).first()
    if newest is None:
        return uuid.UUID(int=0)
    return ids.first_id_at(min(ids.instant_of(newest), now) - MARGIN)


def _without_document(first: uuid.UUID) -> list[uuid.UUID]:
    documents = SearchDocument.objects.filter(id=OuterRef("id"))
    rows = WorkItem.objects.filter(~Exists(documents), id__gte=first).order_by("id")
    return list(rows.values_list("id", flat=True)[:BATCH])
