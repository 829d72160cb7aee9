"""Values of rows are stored as `save` stores them, without its detours for plain values."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, models

from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from threada_site.database.sets.stored_values import stored_values
from threada_site.personal_data.erasable_fields import contents_of

_VALUES: dict[type[models.Field[Any, Any]], Any] = {
    models.CharField: "text",
    models.TextField: "text",
    models.UUIDField: uuid.UUID(int=7),
    models.ForeignKey: uuid.UUID(int=8),
    models.BooleanField: True,
    models.DateTimeField: datetime(2026, 1, 2, tzinfo=UTC),
    models.JSONField: {"a": [1]},
    models.BinaryField: b"bytes",
}
_MODELS = [model for model in apps.get_models() if not contents_of(model) and not model._meta.proxy]


def as_saved(row: models.Model, names: tuple[str, ...] | None = None) -> list[Any]:
    fields: list[Any] = [field for field in row._meta.local_concrete_fields if not field.generated]
    if names is not None:
        fields = [row._meta.get_field(name) for name in names]
    return [field.get_db_prep_save(field.pre_save(row, True), connection) for field in fields]


def stored(row: models.Model, names: tuple[str, ...] | None = None) -> list[Any]:
    return stored_values(row, names, database=connection, is_new=True)


@pytest.mark.parametrize("model", _MODELS, ids=lambda model: model._meta.label)
def test_values_are_those_that_save_would_store(model: type[models.Model]) -> None:
    row = model()
    for field in model._meta.local_concrete_fields:
        if type(field) in _VALUES and (type(field) is not models.ForeignKey or _is_uuid(field)) and not field.choices:
            setattr(row, field.attname, _VALUES[type(field)])
    _assert_equal(stored(row), as_saved(row))


def _is_uuid(field: models.Field[Any, Any]) -> bool:
    return isinstance(getattr(field, "target_field", field), models.UUIDField)


def _assert_equal(ours: list[Any], saved: list[Any]) -> None:
    kept = [(type(value), repr(value)) for value in saved if not isinstance(value, datetime)]
    assert [(type(value), repr(value)) for value in ours if not isinstance(value, datetime)] == kept


def test_values_of_another_type_are_converted() -> None:
    given = uuid.uuid4()
    row = Execution(id=str(given), tenant_id=str(given), work_item_id=given.hex, status=ExecutionStatus.STARTED)
    names = ("id", "tenant", "work_item_id", "status", "is_simulated")
    row.is_simulated = 1  # type: ignore[assignment]
    assert stored(row, names) == as_saved(row, names) == [given, given, given, "started", True]
