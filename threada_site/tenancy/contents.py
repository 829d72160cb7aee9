"""Columns that hold what a case is about: payloads, evidence, facts, envelopes, answers, comments.

They are plain JSON, text and bytes, but may be emptied when retention says so. What is read then is a marker that looks
like a value of its kind and is told apart by `is_erased`. Markers are stored under a prefix of their own; a value that
happens to begin with it is stored behind another, so that nobody can send one in.
"""

from __future__ import annotations

from typing import Any, Final, Self

from django.db import models

_PREFIX: Final = "threada:"
_PLAIN: Final = "threada:plain"
_ERASED: Final = "threada:erased"
BY_RETENTION: Final = "retention"


class Erased:
    """What all markers are: `by` says what emptied the column."""

    by: str


class ErasedJSON(Erased, dict[str, Any]):
    """In place of a JSON value: `{"erased": "retention"}`."""

    def __init__(self, by: str) -> None:
        super().__init__(erased=by)
        self.by = by


class ErasedText(Erased, str):  # noqa: SLOT000  (it says what emptied it)
    """In place of a text."""

    def __new__(cls, by: str) -> Self:
        made = super().__new__(cls, f"[erased: {by}]")
        made.by = by
        return made


class ErasedBytes(Erased, bytes):
    """In place of bytes: JSON that says so, for whoever parses them."""

    def __new__(cls, by: str) -> Self:
        made = super().__new__(cls, b'{"erased":"%s"}' % by.encode())
        made.by = by
        return made


def is_erased(value: Any) -> bool:
    """Whether a content was emptied."""
    return isinstance(value, Erased)


class ContentField:
    """Mixed into a field class: the column can be emptied. Migrations see the plain field: the table holds no more."""

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()  # type: ignore[misc]
        plain = next(base for base in type(self).__mro__ if base.__module__.startswith("django.db.models"))
        return name, f"django.db.models.{plain.__name__}", args, kwargs

    def emptied(self, by: str) -> Any:
        """What an emptied column holds, as the database's driver takes it."""
        raise NotImplementedError


class ContentJSON(ContentField, models.JSONField):
    """A JSON value that can be emptied."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return _read_json(super().from_db_value(value, expression, connection))

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:  # noqa: FBT001, FBT002
        return super().get_db_prep_value(_written_json(value), connection, prepared)

    def emptied(self, by: str) -> dict[str, str]:
        return {_ERASED: by}


class ContentText(ContentField, models.TextField):
    """A text that can be emptied."""

    def from_db_value(self, value: str | None, _expression: Any, _connection: Any) -> str | None:
        if value is None or not value.startswith(_PREFIX):
            return value
        kind, rest = value[: len(_ERASED)], value[len(_ERASED) + 1 :]
        return ErasedText(rest) if kind == _ERASED else value[len(_PLAIN) + 1 :]

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        if isinstance(value, ErasedText):
            return f"{_ERASED}:{value.by}"
        return f"{_PLAIN}:{text}" if isinstance(text, str) and text.startswith(_PREFIX) else text

    def emptied(self, by: str) -> str:
        return f"{_ERASED}:{by}"


class ContentBytes(ContentField, models.BinaryField):
    """Bytes that can be emptied."""

    def from_db_value(self, value: Any, _expression: Any, _connection: Any) -> Any:
        stored = None if value is None else bytes(value)
        if stored is None or not stored.startswith(_PREFIX.encode()):
            return stored
        if stored.startswith(_ERASED.encode()):
            return ErasedBytes(stored[len(_ERASED) + 1 :].decode())
        return stored[len(_PLAIN) + 1 :]

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:  # noqa: FBT001, FBT002
        if isinstance(value, ErasedBytes):
            value = self.emptied(value.by)
        elif isinstance(value, bytes | memoryview) and bytes(value[:8]) == _PREFIX.encode():
            value = f"{_PLAIN}:".encode() + bytes(value)
        return super().get_db_prep_value(value, connection, prepared)

    def emptied(self, by: str) -> bytes:
        return f"{_ERASED}:{by}".encode()


def contents_of(model: type[models.Model]) -> list[Any]:
    """The content columns of a table."""
    return [field for field in model._meta.local_concrete_fields if isinstance(field, ContentField)]


def _read_json(value: Any) -> Any:
    if isinstance(value, dict) and len(value) == 1:
        if _ERASED in value:
            return ErasedJSON(value[_ERASED])
        if _PLAIN in value:
            return value[_PLAIN]
    return value


def _written_json(value: Any) -> Any:
    if isinstance(value, ErasedJSON):
        return {_ERASED: value.by}
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in (_ERASED, _PLAIN):
        return {_PLAIN: value}
    return value
