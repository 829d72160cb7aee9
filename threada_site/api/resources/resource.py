"""Declaration of API resources. Each field has a name, a type and a source; both outputs derive from that list."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

type Reader = Callable[[Any, Mapping[str, Any]], dict[str, Any]]


class Representation:
    """JSON Schema of an answer, published under `name`. The schema may contain other representations."""

    def __init__(
        self, name: str, schema: dict[str, Any], *, example: Any = None, media_type: str = "application/json"
    ) -> None:
        self.name = name
        self.schema = schema
        self.example = example
        self.media_type = media_type


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
    """Compile `fields` into one function of an object and a context, as `dataclasses` compiles its methods.

    The function is one dict display, which costs no more than the same display written by hand.
    """
    scope: dict[str, Any] = {}
    members = [f"{entry.name!r}: {_expression(entry, number, scope)}" for number, entry in enumerate(fields)]
    read: Reader = eval("lambda entity, context: {" + ", ".join(members) + "}", scope)  # noqa: S307 - declared above
    return read


def _expression(entry: Field, number: int, scope: dict[str, Any]) -> str:
    """Return the Python expression of a field's value. Functions it calls are added to `scope`."""
    if isinstance(entry.source, Given):
        value = f"context[{entry.source.name!r}]"
    elif isinstance(entry.source, str):
        assert all(part.isidentifier() for part in entry.source.split("."))  # noqa: S101 - an attribute path
        value = f"entity.{entry.source}"
    else:
        scope[f"read_{number}"] = entry.source
        _, *parameters = inspect.signature(entry.source).parameters
        value = f"read_{number}({', '.join(['entity', *(f'context[{name!r}]' for name in parameters)])})"
    if entry.type.encode is None:
        return f"({value} or None)" if entry.type.is_nullable else value
    scope[f"encode_{number}"] = entry.type.encode
    if entry.type.is_nullable:
        return f"(encode_{number}(value) if (value := {value}) else None)"
    return f"encode_{number}({value})"
