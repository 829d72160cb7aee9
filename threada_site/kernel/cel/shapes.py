"""Types for the checker, derived from a JSON Schema as protobuf messages.

Objects with `properties` become messages; everything ambiguous (unions, a `$ref` to other documents, objects without
properties) becomes `google.protobuf.Value`, which is dynamic for the checker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, struct_pb2

DYNAMIC: Final = ".google.protobuf.Value"
PACKAGE: Final = "threada"
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SCALARS: Final = {"string": "STRING", "integer": "INT64", "number": "DOUBLE", "boolean": "BOOL"}
_UNIONS: Final = frozenset({"anyOf", "oneOf", "allOf", "not", "if", "$dynamicRef", "$recursiveRef"})
_MAX_MESSAGES: Final = 500
MAX_FIELDS: Final = 1000
"""Protobuf messages have a limit of their own somewhere above."""
_MAX_DEPTH: Final = 32


@dataclass(frozen=True, slots=True)
class Shape:
    """One message: its place in the facts, its known fields, and whether other fields are allowed."""

    path: str
    fields: frozenset[str]
    is_open: bool


class Shapes:
    """Messages by their full names. A kind is such a name or a protobuf scalar, with a `*` prefix for lists."""

    def __init__(self) -> None:
        self.by_name: dict[str, Shape] = {}
        self._messages: dict[str, descriptor_pb2.DescriptorProto] = {}
        self._file = descriptor_pb2.FileDescriptorProto(
            name="threada/facts.proto", package=PACKAGE, syntax="proto3", dependency=["google/protobuf/struct.proto"]
        )

    def __len__(self) -> int:
        return len(self._messages)

    def reserve(self) -> str:
        """Return a reference to a message that is filled later, so that a schema may refer to itself."""
        message = self._file.message_type.add(name=f"Shape{len(self)}")
        message.options.deprecated_legacy_json_field_conflicts = True
        reference = f".{PACKAGE}.{message.name}"
        self._messages[reference] = message
        return reference

    def fill(self, reference: str, path: str, fields: Mapping[str, str], *, is_open: bool = False) -> None:
        """Set the fields of a reserved message, as kinds by name."""
        kinds = descriptor_pb2.FieldDescriptorProto
        for number, (name, kind) in enumerate(fields.items(), start=1):
            field = self._messages[reference].field.add(name=name, number=number)
            field.label = kinds.LABEL_REPEATED if kind.startswith("*") else kinds.LABEL_OPTIONAL
            target = kind.lstrip("*")
            if target.startswith("."):
                field.type, field.type_name = kinds.TYPE_MESSAGE, target
            else:
                field.type = kinds.Type.Value(f"TYPE_{target}")
        self.by_name[reference[1:]] = Shape(path, frozenset(fields), is_open)

    def add(self, path: str, fields: Mapping[str, str]) -> str:
        """Add a message whose fields are all known. Return its reference."""
        reference = self.reserve()
        self.fill(reference, path, fields)
        return reference

    def add_schema(self, path: str, schema: Any) -> str:
        """Return the kind of the value at `path` that matches `schema`."""
        return _SchemaReader(self, schema).kind_of(schema, path, 0)

    def pool(self) -> descriptor_pool.DescriptorPool:
        """Return all messages for the checker."""
        pool = descriptor_pool.DescriptorPool()
        well_known = descriptor_pb2.FileDescriptorProto()
        struct_pb2.DESCRIPTOR.CopyToProto(well_known)
        pool.Add(well_known)
        pool.Add(self._file)
        return pool


class _SchemaReader:
    """Reader of the type information in one JSON Schema."""

    def __init__(self, shapes: Shapes, root: Any) -> None:
        self._shapes = shapes
        self._root = root
        self._referred: dict[str, str] = {}

    def kind_of(self, schema: Any, path: str, depth: int) -> str:
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return DYNAMIC
        if isinstance(schema.get("$ref"), str):
            return self._kind_of_reference(schema, path, depth)
        kind = schema.get("type", "object" if "properties" in schema else None)
        if kind == "object":
            return self._kind_of_object(schema, path, depth)
        if not isinstance(kind, str) or _UNIONS & schema.keys():
            return DYNAMIC
        if kind == "array":
            return self._kind_of_array(schema, path, depth)
        return _SCALARS.get(kind, DYNAMIC)

    def _kind_of_object(self, schema: dict[str, Any], path: str, depth: int) -> str:
        if not _has_properties(schema) or len(self._shapes) >= _MAX_MESSAGES:
            return DYNAMIC
        reference = self._shapes.reserve()
        self._fill(reference, schema, path, depth)
        return reference

    def _fill(self, reference: str, schema: dict[str, Any], path: str, depth: int) -> None:
        fields = {
            name: self.kind_of(child, f"{path}.{name}", depth + 1)
            for name, child in schema["properties"].items()
            if _IDENTIFIER.fullmatch(name)
        }
        is_open = (
            bool(_UNIONS & schema.keys())
            or "patternProperties" in schema
            or schema.get("additionalProperties", False) is not False
        )
        self._shapes.fill(reference, path, fields, is_open=is_open)

    def _kind_of_array(self, schema: dict[str, Any], path: str, depth: int) -> str:
        if "prefixItems" in schema:
            return f"*{DYNAMIC}"
        kind = self.kind_of(schema.get("items"), f"{path}[]", depth + 1)
        return f"*{DYNAMIC}" if kind.startswith("*") else f"*{kind}"

    def _kind_of_reference(self, schema: dict[str, Any], path: str, depth: int) -> str:
        target = schema["$ref"]
        if schema.keys() & (_UNIONS | {"type", "properties", "items"}):
            return DYNAMIC
        if target in self._referred:
            return self._referred[target]
        found = follow_reference(self._root, target)
        if not isinstance(found, dict) or "$ref" in found or not _has_properties(found):
            return self.kind_of(found, path, depth + 1)
        if len(self._shapes) >= _MAX_MESSAGES:
            return DYNAMIC
        self._referred[target] = self._shapes.reserve()
        self._fill(self._referred[target], found, path, depth)
        return self._referred[target]


def _has_properties(schema: dict[str, Any]) -> bool:
    return (
        schema.get("type", "object") == "object"
        and isinstance(schema.get("properties"), dict)
        and 0 < len(schema["properties"]) <= MAX_FIELDS
    )


def follow_reference(root: Any, target: str) -> Any:
    """Return the target of a local reference (`#/$defs/line`), or None."""
    if not target.startswith("#"):
        return None
    node = root
    for token in target[1:].split("/")[1:]:
        node = node.get(token.replace("~1", "/").replace("~0", "~")) if isinstance(node, dict) else None
    return node
