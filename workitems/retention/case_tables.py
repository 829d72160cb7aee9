"""Tables with rows of cases, derived from the models so that new tables are included."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from django.db import models
from django.db.models import Case, F, Q, QuerySet, Value, When

from telemetry.models import Receipt
from threada_site.personal_data.erasable_fields import contents_of
from threada_site.tenancy.isolation_checks import tenant_models
from workitems.models import ItemLabel, LegalHold, SearchChange, SearchDocument, WorkItem

_NOT_OF_A_CASE: Final = (Receipt, LegalHold, WorkItem, SearchDocument, SearchChange)
"""Receipts are removed separately, holds are kept, and work items are removed last. What the search derives is neither
archived nor exported (`forget_words`)."""


@cache
def case_tables() -> tuple[tuple[type[models.Model], str], ...]:
    """Return all tables with rows of work items and the path to the item; dependants come first."""
    paths: dict[type[models.Model], str] = {}
    for model in tenant_models():
        if model not in _NOT_OF_A_CASE and any(field.attname == "work_item_id" for field in _columns(model)):
            paths[model] = "work_item_id"
    found = True
    while found:
        found = False
        for model in tenant_models():
            if model in paths or model in _NOT_OF_A_CASE:
                continue
            for field in _columns(model):
                if isinstance(field, models.ForeignKey) and field.related_model in paths:
                    paths[model] = f"{field.name}__{paths[field.related_model]}"
                    found = True
                    break
    return tuple(sorted(paths.items(), key=lambda entry: (-entry[1].count("__"), entry[0]._meta.db_table)))


def rows_of(
    model: type[models.Model], path: str, item_ids: Sequence[uuid.UUID], *, tenant_id: uuid.UUID
) -> QuerySet[Any]:
    """Return the rows of these cases in one table. Uses subqueries, not joins, so that it can be updated."""
    manager = model._default_manager
    head, separator, rest = path.partition("__")
    if not separator:
        return manager.filter(tenant_id=tenant_id, **{f"{path}__in": list(item_ids)})
    related: Any = model._meta.get_field(head).related_model
    return manager.filter(
        tenant_id=tenant_id,
        **{f"{head}_id__in": rows_of(related, rest, item_ids, tenant_id=tenant_id).values("id")},
    )


def tables_with_contents() -> Iterator[tuple[type[models.Model], str, list[Any]]]:
    """Yield the tables of a case that have content columns, including work items, with these columns."""
    yield WorkItem, "id", contents_of(WorkItem)
    for model, path in case_tables():
        fields = contents_of(model)
        if fields:
            yield model, path, fields


def forget_words(item_ids: Sequence[uuid.UUID], *, tenant_id: uuid.UUID, is_kept: bool = True) -> None:
    """Delete what the search stores of these cases, and labels of their values, as the platform.

    If the cases are kept, the sweep is told to write their documents again, without the contents: one that runs at this
    moment may still store the former words.
    """
    SearchDocument.objects.filter(tenant_id=tenant_id, id__in=item_ids).delete()
    ItemLabel.objects.filter(tenant_id=tenant_id, work_item_id__in=item_ids, label__gte=ItemLabel.OF_CONTENTS).delete()
    SearchChange.objects.filter(tenant_id=tenant_id, work_item_id__in=item_ids).delete()
    if is_kept:
        SearchChange.objects.bulk_create(SearchChange(tenant_id=tenant_id, work_item_id=item) for item in item_ids)


def has_contents(fields: Sequence[Any]) -> Q:
    """Return a condition for rows in which one of these columns is not empty."""
    anything = Q(pk__in=[])
    for field in fields:
        anything |= ~_is_nothing(field)
    return anything


def emptied(field: Any, *, by: str) -> Case:
    """Return an SQL expression that replaces a non-empty column with the erasure marker."""
    plain: models.Field[Any, Any] = models.JSONField()
    if isinstance(field, models.TextField):
        plain = models.TextField()
    elif isinstance(field, models.BinaryField):
        plain = models.BinaryField()
    return Case(
        When(_is_nothing(field), then=F(field.attname)),
        default=Value(field.emptied(by), output_field=plain),
        output_field=plain,
    )


def _is_nothing(field: Any) -> Q:
    nothing = Q(**{f"{field.attname}__isnull": True})
    return nothing | Q(**{field.attname: ""}) if isinstance(field, models.TextField) else nothing


def _columns(model: type[models.Model]) -> list[models.Field[Any, Any]]:
    return list(model._meta.local_concrete_fields)
