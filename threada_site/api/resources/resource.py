"""Declaration of API resources. Each field has a name, a type and a source; both outputs derive from that list."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

type Reader = Callable[[Any, Mapping[str, Any]], dict[str, Any]]


class Representation:
    """JSON Schema of an answer, published under `name`. The schema may contain other representations.

    `is_download`: the body is a file, which clients may treat as bytes.
    """

    def __init__(
        self,
        name: str,
        schema: dict[str, Any],
        *,
        example: Any = None,
        media_type: str = "application/json",
        is_download: bool = False,
    ) -> None:
        self.name = name
        self.schema = schema
        self.example = example
        self.media_type = media_type
        self.is_download = is_download


@dataclass(frozen=True, slots=True)
class FieldType:
    """JSON Schema of a field's value, and the function that makes the value JSON; None if it is JSON already.

    `is_nullable`: empty values become null.
    """

    schema: dict[str, Any] | Representation
    encode: Callable[[Any], Any] | None = None
    is_nullable: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """Source of a value that is passed to `represent` as the keyword argument `name`."""

    name: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a resource.

    `source` is an attribute path of the object, or a function of the object whose further parameters are
    taken from the context by their names. `is_detail`: lists leave the field out.
    """

    name: str
    type: FieldType
    source: str | Callable[..., Any] | Given
    is_detail: bool = False


def field(
    name: str,
    of_type: FieldType,
    source: str | Callable[..., Any] | Given | None = None,
    *,
    is_detail: bool = False,
    **keywords: Any,
) -> Field:
    """Declare a field. `source` defaults to the attribute `name`; `keywords` are added to the type's JSON Schema."""
    if keywords:
        assert isinstance(of_type.schema, dict)  # noqa: S101 - a published schema is referenced and cannot be changed
        of_type = replace(of_type, schema={**of_type.schema, **keywords})
    return Field(name, of_type, name if source is None else source, is_detail)


def given(name: str, of_type: FieldType, **keywords: Any) -> Field:
    """Declare a field whose value is passed to `represent` as the keyword argument `name`."""
    return field(name, of_type, Given(name), **keywords)


class Resource(Representation):
    """An object in answers. All fields are required except details; later versions may add fields."""

    def __init__(self, name: str, *fields: Field, example: Any = None) -> None:
        super().__init__(name, object_schema(*fields), example=example)
        self.fields = fields
        self._read_whole = reader_of(*fields)
        self._read = reader_of(*(entry for entry in fields if not entry.is_detail))

    def represent(self, entity: Any, **context: Any) -> dict[str, Any]:
        """Return the JSON object of `entity` without details, in the order of the declaration."""
        return self._read(entity, context)

    def represent_whole(self, entity: Any, **context: Any) -> dict[str, Any]:
        """Return the JSON object of `entity` with details."""
        return self._read_whole(entity, context)


def page_of(item: Representation) -> Representation:
    """Return the representation of a page of a list: `{data, next_cursor, has_more}`."""
    example = None if item.example is None else {"data": [item.example], "next_cursor": None, "has_more": False}
    cursor = {"type": ["string", "null"], "description": "Send it as `cursor` to read the next page."}
    schema = object_schema(
        field("data", FieldType({"type": "array", "items": item})),
        field("next_cursor", FieldType(cursor)),
        field("has_more", FieldType({"type": "boolean"})),
    )
    return Representation(f"{item.name}Page", schema, example=example)


def object_schema(*fields: Field) -> dict[str, Any]:
    """Return the JSON Schema of an object with these fields."""
    return {
        "type": "object",
        "properties": {entry.name: entry.type.schema for entry in fields},
        "required": [entry.name for entry in fields if not entry.is_detail],
    }


def reader_of(*fields: Field) -> Reader:
    """Return a function of an object and a context that reads all `fields`, in their order."""
    readers = [(entry.name, _value_of(entry)) for entry in fields]

    def read(entity: Any, context: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value_of(entity, context) for name, value_of in readers}

    return read


def _value_of(entry: Field) -> Callable[[Any, Mapping[str, Any]], Any]:
    """Return the function that reads one field and makes its value JSON."""
    source, encode = _source_of(entry.source), entry.type.encode
    if encode is None:
        if entry.type.is_nullable:
            return lambda entity, context: source(entity, context) or None
        return source
    if entry.type.is_nullable:
        return lambda entity, context: encode(value) if (value := source(entity, context)) else None
    return lambda entity, context: encode(source(entity, context))


def _source_of(source: str | Callable[..., Any] | Given) -> Callable[[Any, Mapping[str, Any]], Any]:
    """Return the function that reads the value of a field from an object and a context."""
    if isinstance(source, Given):
        return lambda _, context: context[source.name]
    if isinstance(source, str):
        attribute = attrgetter(source)
        return lambda entity, _: attribute(entity)
    _, *parameters = inspect.signature(source).parameters
    if not parameters:
        return lambda entity, _: source(entity)
    return lambda entity, context: source(entity, *(context[name] for name in parameters))
