"""Values of rows in the form in which they are stored."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from django.db import models

from threada_site.database.sets.set_statements import columns, columns_named

type Field = models.Field[Any, Any]

_AS_THEY_ARE: Final[Mapping[type[Field], type]] = {
    models.CharField: str,
    models.TextField: str,
    models.UUIDField: uuid.UUID,
    models.BooleanField: bool,
}
"""Types whose values Django stores unchanged, by the class of the field: it asks six functions to find that out."""
_OTHER: Final = object()


def stored_values(row: models.Model, names: tuple[str, ...] | None, *, database: Any, is_new: bool) -> list[Any]:
    """Return the values of a row, as `save` would store them: of the named fields, or of all columns."""
    values = []
    attributes = row.__dict__
    for field, attribute, unchanged in _kinds(type(row), names):
        value = attributes.get(attribute, _OTHER)
        if unchanged is None or (value is not None and type(value) is not unchanged):
            value = field.get_db_prep_save(field.pre_save(row, is_new), database)
        values.append(value)
    return values


@lru_cache(maxsize=1024)
def _kinds(model: type[models.Model], names: tuple[str, ...] | None) -> list[tuple[Field, str, type | None]]:
    """Return fields with their attributes, and the types of values that are stored unchanged; None if there is none."""
    fields = columns(model) if names is None else columns_named(model, names)
    stored_as = [field.target_field if type(field) is models.ForeignKey else field for field in fields]
    return [
        (field, field.attname, _AS_THEY_ARE.get(type(other))) for field, other in zip(fields, stored_as, strict=True)
    ]
