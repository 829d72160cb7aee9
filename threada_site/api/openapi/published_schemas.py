"""JSON Schemas in the form that client generators understand. Pure.

The published schema accepts the same values as the schema that checks requests. Four forms differ:

* `type: [object, array]` becomes `anyOf`. openapi-python-client 0.29 leaves operations with such a type out.
* `const: true` becomes `enum: [true]`. openapi-python-client writes invalid Python for a constant that is no text.
* An array without `items` says `items: {}`, without which openapi-python-client leaves it out.
* An object without `properties` says `additionalProperties: true`. openapi-typescript 7 makes an object that can have
  no members of it otherwise.
"""

from __future__ import annotations

from typing import Any, Final

_IN_OBJECTS: Final = frozenset({"properties", "patternProperties", "additionalProperties", "propertyNames", "$ref"})
_VALUES: Final = frozenset({"default", "example", "examples", "enum", "const"})
"""Keywords whose values are no schemas."""
_SCHEMAS_BY_NAME: Final = frozenset({"properties", "patternProperties", "$defs", "dependentSchemas"})


def published(node: Any) -> Any:
    """Return `node`, a JSON Schema or a part of one, in the published form."""
    if isinstance(node, list):
        return [published(value) for value in node]
    return _published({key: _member(key, value) for key, value in node.items()}) if isinstance(node, dict) else node


def _member(key: str, value: Any) -> Any:
    if key in _VALUES:
        return value
    if key in _SCHEMAS_BY_NAME and isinstance(value, dict):
        return {name: published(schema) for name, schema in value.items()}
    return published(value)


def _published(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(schema.get("const"), bool):
        schema = {**schema, "type": "boolean", "enum": [schema["const"]]}
        del schema["const"]
    kinds = schema.get("type")
    if isinstance(kinds, list) and {"object", "array"} <= set(kinds):
        rest = {key: value for key, value in schema.items() if key != "type"}
        return {**rest, "anyOf": [_published({"type": kind}) for kind in kinds]}
    if kinds == "array" and not {"items", "prefixItems"} & set(schema):
        return {**schema, "items": {}}
    if (kinds == "object" or (isinstance(kinds, list) and "object" in kinds)) and not _IN_OBJECTS & set(schema):
        return {**schema, "additionalProperties": True}
    return schema
