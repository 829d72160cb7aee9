"""Marks of values that resemble another value of an earlier work item in the same field, by the fields of `related_by`.

A label (`ItemLabel`) has a digest of the value's skeleton, equal for values that look alike, and one of the value. Both
have a key, so that nobody else computes them. A case about a person gets none.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Final

from django.db import connection
from django.utils.crypto import salted_hmac

from policies.documents.workflow import WorkflowDocument
from threada_site.database.batched_writes import insert_rows, update_row
from threada_site.kernel.lookalikes import skeleton
from threada_site.personal_data.erasable_fields import is_erased
from workitems.display.formats import value_at
from workitems.display.marks import LOOKALIKE
from workitems.items.labels import new_label
from workitems.models import ItemLabel, WorkItem

_LONGEST: Final = 1_000
_OF_VALUES: Final = b"\xff\xff\xff\xff"
_OF_MARKS: Final = b"\xff\xff\xff\xfe"


def lookalike_labels(item: WorkItem, document: WorkflowDocument) -> dict[uuid.UUID, str]:
    """Return the label of each text at `related_by`, with its pointer."""
    if item.subject_id is not None or is_erased(item.payload):
        return {}
    values = {pointer: value_at(item.payload, pointer) for pointer in document.related_by}
    return {
        _label(item, pointer, value): pointer
        for pointer, value in values.items()
        if isinstance(value, str) and 0 < len(value) <= _LONGEST
    }


def new_lookalike_labels(item: WorkItem, document: WorkflowDocument) -> list[ItemLabel]:
    """Return the labels of the values of a work item, not yet saved."""
    return [new_label(item, label) for label in lookalike_labels(item, document)]


def replace_lookalike_labels(item: WorkItem, document: WorkflowDocument) -> None:
    """Replace the labels of a work item whose payload has changed."""
    if document.related_by:
        rows = ItemLabel.objects.filter(tenant_id=item.tenant_id, work_item_id=item.id)
        rows.filter(label__gte=ItemLabel.OF_CONTENTS).delete()
        insert_rows(*new_lookalike_labels(item, document))


def mark_lookalikes(item: WorkItem, document: WorkflowDocument) -> None:
    """Mark a locked work item, in its title too, if one of its values resembles another one of an earlier work item."""
    labels = lookalike_labels(item, document)
    if not labels or str(item.title).startswith(LOOKALIKE):
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT threada_lookalikes(%s, %s)", [list(labels), item.id])
        found = [labels[label] for (label,) in cursor.fetchall()]
    if found:
        item.title = f"{LOOKALIKE}{item.title}"
        update_row(item, "title")
        insert_rows(*(new_label(item, _mark(pointer)) for pointer in found))


def lookalikes_in(item: WorkItem, document: WorkflowDocument) -> frozenset[str]:
    """Return the pointers of the marked values, by one statement; without one for an item that has no mark."""
    if is_erased(item.title) or not str(item.title).startswith(LOOKALIKE):
        return frozenset()
    marks = {_mark(pointer): pointer for pointer in document.related_by}
    rows = ItemLabel.objects.filter(tenant_id=item.tenant_id, work_item_id=item.id, label__in=list(marks))
    return frozenset(marks[label] for label in rows.values_list("label", flat=True))


def texts_at(item: WorkItem, pointers: Iterable[str]) -> frozenset[str]:
    """Return the marked values themselves, for pages that show them outside of the payload too."""
    found = (value_at(item.payload, pointer) for pointer in pointers)
    return frozenset(value for value in found if isinstance(value, str))


def _label(item: WorkItem, pointer: str, value: str) -> uuid.UUID:
    field = f"{item.tenant_id}\x00{item.workflow}\x00{pointer}\x00"
    return uuid.UUID(bytes=_OF_VALUES + _digest("skeleton", field + skeleton(value)) + _digest("value", field + value))


def _mark(pointer: str) -> uuid.UUID:
    return uuid.UUID(bytes=_OF_MARKS + _digest("mark", pointer) * 2)


def _digest(kind: str, text: Any) -> bytes:
    return salted_hmac(f"threada.lookalikes.{kind}", text, algorithm="sha256").digest()[:6]
