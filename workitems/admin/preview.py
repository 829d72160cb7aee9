"""Preview of a payload: a few short values that distinguish one request from another."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from typing import Any, Final

from django.conf import settings
from django.db.models import F, Func, IntegerField, QuerySet
from django.utils import timezone
from django.utils.translation import get_language

from policies.documents.workflow import WorkflowDocument
from policies.selectors import workflow_document
from threada_site.admin.fields import plainly
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.pointers import dotted
from workitems.display.fields import fields, summary
from workitems.display.formats import locale_named
from workitems.models import WorkItem

_PARTS: Final = 4
_TEXT: Final = 60
_LARGEST: Final = 16_384


def preview_of(payload: Mapping[str, Any], document: WorkflowDocument) -> list[tuple[str, str]]:
    """Return label and value of the fields that the workflow names first, shortened; else of the first scalars."""
    rows = fields(document.payload_schema, payload, locale_named(get_language()), timezone.get_current_timezone())
    first = [row for row in summary(rows, document.summary) if not row.rows][:_PARTS]
    if first:
        return [(row.caption, _short(row.text or plainly(row.value))) for row in first]
    plain = ((name, value) for name, value in payload.items() if not isinstance(value, dict | list))
    return [(dotted("", name), _short(plainly(value))) for name, value in list(plain)[:_PARTS]]


def previews_of(items: Collection[uuid.UUID], *, ctx: ActingContext) -> dict[uuid.UUID, list[tuple[str, str]]]:
    """Return the preview of each work item. Large payloads and sensitive data classes are left out."""
    return previews_in(small_payloads(items, ctx=ctx), ctx=ctx)


def small_payloads(items: Collection[uuid.UUID], *, ctx: ActingContext) -> QuerySet[WorkItem, Any]:
    """Return id, workflow version and payload of work items without large payloads and sensitive data classes."""
    stored = Func(F("payload"), function="pg_column_size", output_field=IntegerField())
    rows = WorkItem.objects.filter(tenant_id=ctx.tenant_id, id__in=items).annotate(stored=stored)
    rows = rows.exclude(data_class__in=settings.THREADA_SENSITIVE_DATA_CLASSES)
    return rows.filter(stored__lt=_LARGEST).values_list("id", "workflow_version_id", "payload")


def previews_in(payloads: QuerySet[WorkItem, Any], *, ctx: ActingContext) -> dict[uuid.UUID, list[tuple[str, str]]]:
    """Return the preview of each of `small_payloads`."""
    return {
        item_id: preview_of(payload, workflow_document(version_id, ctx=ctx))
        for item_id, version_id, payload in payloads
    }


def _short(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}…"
