"""Columns with contents of cases: payloads, evidence, facts, envelopes, answers, comments.

The columns have plain JSON, text and binary types. Retention may empty them: reading returns a marker of the same
type, for which `is_erased` is True. Markers are stored with a reserved prefix; a value that starts with this prefix
is escaped, so that no request can create a marker.

In a case about a data subject, values are stored as blobs encrypted with the subject's key. Saving encrypts, reading
decrypts; after the key is erased, reading returns a marker.
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
BY_AUTHOR: Final = "author"


class Erased:
    """Base of all markers; `by` says what emptied the column."""

    by: str


class ErasedJSON(Erased, dict[str, Any]):
    """Marker in place of a JSON value: `{"erased": "retention"}`."""

    def __init__(self, by: str) -> None:
        super().__init__(erased=by)
        self.by = by


class ErasedText(Erased, str):  # noqa: SLOT000  (it has the attribute `by`)
    """Marker in place of a text."""

    def __new__(cls, by: str) -> Self:
        made = super().__new__(cls, f"[erased: {by}]")
        made.by = by
        return made


class ErasedBytes(Erased, bytes):
    """Marker in place of bytes; itself JSON, for parsers."""

    def __new__(cls, by: str) -> Self:
        made = super().__new__(cls, b'{"erased":"%s"}' % by.encode())
        made.by = by
        return made


def is_erased(value: Any) -> bool:
    """Return True if `value` is a marker."""
    return isinstance(value, Erased)


class EncryptedValue:
    """Encrypted value that is about to be stored."""

    def __init__(self, blob: bytes) -> None:
        self.blob = blob

    @property
    def text(self) -> str:
        return base64.b64encode(self.blob).decode()


class ContentField:
    """Mixin for fields that can be emptied and are encrypted in cases about a data subject.

    Migrations contain the plain field type.
    """

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
        """Return the place of this column's blobs."""
        return f"{self.model._meta.db_table}.{self.attname}"  # type: ignore[attr-defined]

    def opened(self, blob: bytes) -> bytes | None:
        """Return the decrypted blob, or None if the subject's key was erased."""
        key = keyring.key_of(subject_of_blob(blob))
        return None if key is None else open_blob(blob, key, place=self.place)

    def as_bytes(self, value: Any) -> bytes:
        """Return the plaintext of a value."""
        raise NotImplementedError

    def deconstruct(self) -> Any:
        name, _path, args, kwargs = super().deconstruct()  # type: ignore[misc]
        plain = next(base for base in type(self).__mro__ if base.__module__.startswith("django.db.models"))
        return name, f"django.db.models.{plain.__name__}", args, kwargs

    def emptied(self, by: str) -> Any:
        """Return the stored form of an emptied column."""
        raise NotImplementedError


class ContentJSON(ContentField, models.JSONField):
    """JSON column that can be emptied."""

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
    """Text column that can be emptied."""

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
    """Binary column that can be emptied."""

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
    """Return the data subject of the case of `row`, if its workflow names one.

    A row has `work_item_id`, or names its parent row in `content_parent`; the case itself has `subject_id`. A row whose
    model allows an empty `work_item_id` belongs to no case yet.
    """
    if hasattr(row, "subject_id"):
        keyring.note_case(row.pk, row.subject_id)
        return row.subject_id
    case = getattr(row, "work_item_id", None)
    if case is None and hasattr(row, "work_item_id") and row._meta.get_field("work_item").null:
        return None
    while case is None:
        row = getattr(row, row.content_parent)  # type: ignore[attr-defined]
        case = getattr(row, "work_item_id", None)
    return keyring.subject_of_case(case)


def contents_of(model: type[models.Model]) -> list[Any]:
    """Return the content columns of a table."""
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
