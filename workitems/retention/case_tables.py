"""Which tables hold the rows of a case: found in the models, so that a table added later is not forgotten."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

from django.db import models
from django.db.models import Case, F, Q, QuerySet, Value, When

from telemetry.models import Receipt
from threada_site.database.isolation_checks import tenant_models
from threada_site.personal_data.erasable_fields import contents_of
from workitems.models import LegalHold, WorkItem

_NOT_OF_A_CASE: Final = (Receipt, LegalHold, WorkItem)
"""Receipts have a way of their own; holds outlive what they held; the item itself goes last."""


@cache
def case_tables() -> tuple[tuple[type[models.Model], str], ...]:
    """Every table whose rows belong to work items, with the path to the item; dependants before what they refer to."""
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
    """The rows of these cases in one table, by a subquery on each step of the path: no join, so it can be changed."""
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
    """The tables of a case that hold contents, the item's own among them, with their content columns."""
    yield WorkItem, "id", contents_of(WorkItem)
    for model, path in case_tables():
        fields = contents_of(model)
        if fields:
            yield model, path, fields


def has_contents(fields: Sequence[Any]) -> Q:
    """Rows in which any of these columns holds something."""
    anything = Q(pk__in=[])
    for field in fields:
        anything |= ~_is_nothing(field)
    return anything


def emptied(field: Any, *, by: str) -> Case:
    """What an update puts into a content column: the marker; where there was nothing, still nothing."""
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
