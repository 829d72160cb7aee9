"""Columns of a query that contain a row of a model."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model


class RowColumns:
    """Consecutive columns of a query that contain the concrete fields of `model`, in their order."""

    def __init__(self, model: type[Model], start: int) -> None:
        fields = model._meta.concrete_fields
        self.model = model
        self.names = [str(field.column) for field in fields]
        self.end = start + len(fields)
        self.key = start + fields.index(model._meta.pk)
        self._start = start
        self._attributes = [field.attname for field in fields]
        self._converted = [
            (number, field.from_db_value) for number, field in enumerate(fields) if hasattr(field, "from_db_value")
        ]

    def object(self, values: tuple[Any, ...]) -> Model:
        """Return the object in these columns of a row."""
        mine = list(values[self._start : self.end])
        for number, convert in self._converted:
            mine[number] = convert(mine[number], None, connection)
        return self.model.from_db(DEFAULT_DB_ALIAS, self._attributes, mine)
