"""Shapes: JSON Schemas that check request bodies and are published in the OpenAPI document."""

from __future__ import annotations

from typing import Any

import jsonschema_rs

from threada_site.kernel import ids
from threada_site.kernel.errors import InvalidRequest
from threada_site.kernel.json import schemas

SLUG = {"type": "string", "pattern": f"^{ids.SLUG_PATTERN}$"}


class Shape:
    """JSON Schema of a request body."""

    def __init__(self, schema: dict[str, Any], *, example: Any = None, is_secret: bool = False) -> None:
        """Compile the schema. With `is_secret`, refusals repeat no values, and stored digests are keyed."""
        self.is_secret = is_secret
        self.schema = {**schema, **({"examples": [example]} if example is not None else {})}
        self.example = example
        self._whole = [name for name, of in schema.get("properties", {}).items() if of.get("type") == "integer"]
        is_closed = schema.get("additionalProperties") is False and "patternProperties" not in schema
        self._names = frozenset(schemas.field_names(schema))
        self._known = frozenset(schema.get("properties", {})) if is_closed else None
        self._validator: jsonschema_rs.Draft202012Validator = schemas.validator(schema, repeats_values=not is_secret)

    def check(self, body: Any) -> dict[str, Any]:
        """Return `body` if it is valid. Raise `InvalidRequest` with every invalid field.

        JSON has no integers: 2.0 is a valid integer for a schema and is converted to an int here.
        """
        problems = schemas.unknown_names(body, self._known) if self._known is not None else []
        problems = problems or schemas.field_errors(self._validator, body, known=self._names)
        if problems:
            raise InvalidRequest("The body is invalid.", errors=problems)
        return {**body, **{name: int(body[name]) for name in self._whole if isinstance(body.get(name), float)}}


def shape(
    properties: dict[str, Any],
    *,
    required: tuple[str, ...] = (),
    example: Any = None,
    is_secret: bool = False,
    **more: Any,
) -> Shape:
    """Return the shape of an object with these properties and no others."""
    schema = {"type": "object", "properties": properties, "additionalProperties": False, **more}
    if required:
        schema["required"] = list(required)
    return Shape(schema, example=example, is_secret=is_secret)


EMPTY = shape({})


def id_schema(prefix: str) -> dict[str, Any]:
    """Return the schema of a public id."""
    return {"type": "string", "pattern": f"^{prefix}_{ids.SUFFIX_PATTERN}$"}
