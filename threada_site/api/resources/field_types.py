"""Field types of API resources: JSON Schema and encoding of public ids, instants, enumerations, arrays and objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from typing import Any, Final

from threada_site.api import shapes
from threada_site.api.resources.resource import Field, FieldType, Representation, Resource, object_schema, reader_of
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339


def maybe(of_type: FieldType) -> FieldType:
    """Return the type or null. Empty values become null."""
    return FieldType({"anyOf": [of_type.schema, {"type": "null"}]}, of_type.encode, is_nullable=True)


def public_id(prefix: str) -> FieldType:
    """Return the type of a public id, encoded from a UUID."""
    return FieldType(shapes.id_schema(prefix), partial(ids.public_id, prefix))


def maybe_public_id(prefix: str) -> FieldType:
    """Return the type of a public id or null. Its schema says text, without the pattern of the id."""
    return FieldType(MAYBE_TEXT.schema, partial(ids.public_id, prefix), is_nullable=True)


def choice(values: Iterable[Any], *, or_null: bool = False) -> FieldType:
    """Return the type of one of `values` (texts, or an enumeration)."""
    texts = [value.value if isinstance(value, Enum) else value for value in values]
    return FieldType({"enum": [*texts, None] if or_null else texts}, is_nullable=or_null)


def array(of_type: FieldType) -> FieldType:
    """Return the type of a list."""
    encode = of_type.encode
    return FieldType({"type": "array", "items": of_type.schema}, _each(encode) if encode else list)


def nested(resource: Resource) -> FieldType:
    """Return the type of an object that `resource` represents."""
    return FieldType(resource, resource.represent)


def schema_of(resource: Representation) -> FieldType:
    """Return the type of a value that `resource` has encoded already."""
    return FieldType(resource)


def inline(*fields: Field, or_null: bool = False, all_required: bool = True) -> FieldType:
    """Return the type of an object whose schema has no name of its own."""
    schema = object_schema(*fields)
    if or_null:
        schema["type"] = ["object", "null"]
    if not all_required:
        del schema["required"]
    read = reader_of(*fields)
    return FieldType(schema, lambda value: read(value, {}), is_nullable=or_null)


def _each(encode: Callable[[Any], Any]) -> Callable[[Iterable[Any]], list[Any]]:
    return lambda values: [encode(value) for value in values]


ANY: Final = FieldType({})
TEXT: Final = FieldType({"type": "string"})
MAYBE_TEXT: Final = FieldType({"type": ["string", "null"]}, is_nullable=True)
SLUG: Final = FieldType(shapes.SLUG)
MAYBE_SLUG: Final = maybe(SLUG)
BOOLEAN: Final = FieldType({"type": "boolean"})
INTEGER: Final = FieldType({"type": "integer"})
MAYBE_INTEGER: Final = FieldType({"type": ["integer", "null"]})
COUNT: Final = FieldType({"type": "integer", "minimum": 0})
NUMBER: Final = FieldType({"type": "integer", "minimum": 1})
MAYBE_FLOAT: Final = FieldType({"type": ["number", "null"]})
INSTANT: Final = FieldType({"type": "string", "format": "date-time"}, rfc3339)
MAYBE_INSTANT: Final = FieldType({"type": ["string", "null"], "format": "date-time"}, rfc3339, is_nullable=True)
SHA256: Final = FieldType({"type": "string", "pattern": "^[0-9a-f]{64}$"})
CANONICAL_SHA256: Final = FieldType({"type": "string", "description": "SHA-256 of its canonical JSON (RFC 8785)."})
OBJECT: Final = FieldType({"type": "object"})
MAYBE_OBJECT: Final = FieldType({"type": ["object", "null"]})
TEXTS: Final = array(TEXT)
OBJECTS: Final = FieldType({"type": "array", "items": {"type": "object"}})
