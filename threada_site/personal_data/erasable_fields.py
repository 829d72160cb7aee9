"""Columns that hold what a case is about: payloads, evidence, facts, envelopes, answers, comments.

They are plain JSON, text and bytes, but may be emptied when retention says so. What is read then is a marker that looks
like a value of its kind and is told apart by `is_erased`. Markers are stored under a prefix of their own; a value that
happens to begin with it is stored behind another, so that nobody can send one in.

In a case about a person (its workflow names one) they are stored as blobs under that person's key: written by whatever
saves the row, read as what was written while the key lives, and as a marker once it was erased.
"""

from __future__ import annotations

import base64
import uuid
from typing import Any, Final, Self

import orjson
from django.db import models

from threada_site.personal_data import subject_keys as keyring
from threada_site.personal_data.encrypted_blob import open_blob, subject_of_blob

_PREFIX: Final = "threada:"
_PLAIN: Final = "threada:plain"
_ERASED: Final = "threada:erased"
_SEALED: Final = "threada:sealed"
_MARKERS: Final = (_ERASED, _PLAIN, _SEALED)
BY_RETENTION: Final = "retention"
BY_SUBJECT: Final = "subject"


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


class EncryptedValue:
    """A value on its way into its column, as a blob."""

    def __init__(self, blob: bytes) -> None:
        self.blob = blob

    @property
    def text(self) -> str:
        return base64.b64encode(self.blob).decode()


class ContentField:
    """Mixed into a field class: the column can be emptied, and is sealed in cases about a person. Migrations see the
    plain field: the table holds no more."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:  # noqa: FBT001
        value = super().pre_save(model_instance, add)  # type: ignore[misc]
        if value is None or value in ("", b"") or isinstance(value, Erased):
            return value
        subject = whom_it_is_about(model_instance)
        if subject is None:
            return value
        return EncryptedValue(keyring.close_for(subject, self.as_bytes(value), place=self.place))

    @property
    def place(self) -> str:
        """Where the blobs of this column belong."""
        return f"{self.model._meta.db_table}.{self.attname}"  # type: ignore[attr-defined]

    def opened(self, blob: bytes) -> bytes | None:
        """What a blob of this column holds, or None when the person's key was erased."""
        key = keyring.key_of(subject_of_blob(blob))
        return None if key is None else open_blob(blob, key, place=self.place)

    def as_bytes(self, value: Any) -> bytes:
        """A value as its blob holds it."""
        raise NotImplementedError

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
        read = super().from_db_value(value, expression, connection)
        if isinstance(read, dict) and len(read) == 1 and _SEALED in read:
            opened = self.opened(base64.b64decode(read[_SEALED]))
            return ErasedJSON(BY_SUBJECT) if opened is None else orjson.loads(opened)
        return _read_json(read)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:  # noqa: FBT001, FBT002
        return super().get_db_prep_value(_written_json(value), connection, prepared)

    def as_bytes(self, value: Any) -> bytes:
        return orjson.dumps(value)

    def emptied(self, by: str) -> dict[str, str]:
        return {_ERASED: by}


class ContentText(ContentField, models.TextField):
    """A text that can be emptied."""

    def from_db_value(self, value: str | None, _expression: Any, _connection: Any) -> str | None:
        if value is None or not value.startswith(_PREFIX):
            return value
        kind, rest = value[: len(_ERASED)], value[len(_ERASED) + 1 :]
        if kind == _SEALED:
            opened = self.opened(base64.b64decode(rest))
            return ErasedText(BY_SUBJECT) if opened is None else opened.decode()
        return ErasedText(rest) if kind == _ERASED else value[len(_PLAIN) + 1 :]

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, EncryptedValue):
            return f"{_SEALED}:{value.text}"
        text = super().get_prep_value(value)
        if isinstance(value, ErasedText):
            return f"{_ERASED}:{value.by}"
        return f"{_PLAIN}:{text}" if isinstance(text, str) and text.startswith(_PREFIX) else text

    def emptied(self, by: str) -> str:
        return f"{_ERASED}:{by}"

    def as_bytes(self, value: Any) -> bytes:
        return str(value).encode()


class ContentBytes(ContentField, models.BinaryField):
    """Bytes that can be emptied."""

    def from_db_value(self, value: Any, _expression: Any, _connection: Any) -> Any:
        stored = None if value is None else bytes(value)
        if stored is None or not stored.startswith(_PREFIX.encode()):
            return stored
        if stored.startswith(_SEALED.encode()):
            opened = self.opened(stored[len(_SEALED) + 1 :])
            return ErasedBytes(BY_SUBJECT) if opened is None else opened
        if stored.startswith(_ERASED.encode()):
            return ErasedBytes(stored[len(_ERASED) + 1 :].decode())
        return stored[len(_PLAIN) + 1 :]

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:  # noqa: FBT001, FBT002
        if isinstance(value, EncryptedValue):
            value = f"{_SEALED}:".encode() + value.blob
        elif isinstance(value, ErasedBytes):
            value = self.emptied(value.by)
        elif isinstance(value, bytes | memoryview) and bytes(value[:8]) == _PREFIX.encode():
            value = f"{_PLAIN}:".encode() + bytes(value)
        return super().get_db_prep_value(value, connection, prepared)

    def emptied(self, by: str) -> bytes:
        return f"{_ERASED}:{by}".encode()

    def as_bytes(self, value: Any) -> bytes:
        return bytes(value)


def whom_it_is_about(row: models.Model) -> uuid.UUID | None:
    """The person that the case of `row` is about, if its workflow names one.

    A row knows its case by `work_item_id`, or by the row it belongs to, named in `content_parent`; the case itself by
    `subject_id`.
    """
    if hasattr(row, "subject_id"):
        keyring.note_case(row.pk, row.subject_id)
        return row.subject_id
    case = getattr(row, "work_item_id", None)
    while case is None:
        row = getattr(row, row.content_parent)  # type: ignore[attr-defined]
        case = getattr(row, "work_item_id", None)
    return keyring.subject_of_case(case)


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
    if isinstance(value, EncryptedValue):
        return {_SEALED: value.text}
    if isinstance(value, ErasedJSON):
        return {_ERASED: value.by}
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _MARKERS:
        return {_PLAIN: value}
    return value
