"""Labels, descriptions, order and formats of values by their payload schema. Pure.

Schemas that apply to the same value are read together: `$ref` into the same document, `allOf`, `anyOf`, `oneOf`, `if`,
`then`, `else` and `dependentSchemas`. A requester controls the payload, never the schema.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from policies.documents.annotations import KEYWORD

_TOGETHER: Final = ("allOf", "anyOf", "oneOf")
_CONDITIONAL: Final = ("if", "then", "else")
_MOST_SCHEMAS: Final = 200


@dataclass(frozen=True, slots=True)
class SchemaView:
    """The schemas that apply to one value. Empty if the workflow's schema does not describe it."""

    root: Mapping[str, Any]
    schemas: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, schema: Any) -> SchemaView:
        root = schema if isinstance(schema, Mapping) else {}
        return cls(root, tuple(_applying(root, root)))

    @property
    def is_described(self) -> bool:
        return bool(self.schemas)

    @property
    def label(self) -> str:
        return self._first_text("title")

    @property
    def description(self) -> str:
        return self._first_text("description")

    @property
    def format(self) -> str:
        """Return the `format` of JSON Schema."""
        return self._first_text("format")

    @property
    def annotation(self) -> Mapping[str, Any]:
        """Return the annotation `x-threada`; empty if there is none."""
        found = (schema.get(KEYWORD) for schema in self.schemas)
        return next((each for each in found if isinstance(each, Mapping)), {})

    @property
    def names(self) -> list[str]:
        """Return the names of the members, in the order of the schema."""
        return list(dict.fromkeys(name for schema in self.schemas for name in _mapping(schema.get("properties"))))

    def choice_label(self, value: Any) -> str:
        """Return the title of a value out of `oneOf: [{const: …, title: …}]`."""
        for schema in self.schemas:
            if "const" in schema and schema["const"] == value and type(schema["const"]) is type(value):
                title = schema.get("title")
                if isinstance(title, str) and schema is not self.schemas[0]:
                    return title
        return ""

    def member(self, name: str) -> SchemaView:
        """Return the view of a member of an object; empty if only `additionalProperties` allows it."""
        found: list[Mapping[str, Any]] = []
        for schema in self.schemas:
            child = _mapping(schema.get("properties")).get(name)
            if isinstance(child, Mapping) or child is True:
                found += _applying(self.root, {} if child is True else child)
        return SchemaView(self.root, tuple(found))

    def with_members(self, schema: Mapping[str, Any]) -> SchemaView:
        """Return a view that also describes the members that `schema` has, before those of the schema."""
        return SchemaView(self.root, (schema, *self.schemas))

    def element(self, place: int) -> SchemaView:
        """Return the view of an element of a list."""
        found: list[Mapping[str, Any]] = []
        for schema in self.schemas:
            fixed = schema.get("prefixItems")
            if isinstance(fixed, list) and place < len(fixed):
                child = fixed[place]
            else:
                child = schema.get("items")
                if isinstance(child, list):
                    child = child[place] if place < len(child) else schema.get("additionalItems")
            if isinstance(child, Mapping):
                found += _applying(self.root, child)
        return SchemaView(self.root, tuple(found))

    def _first_text(self, keyword: str) -> str:
        """Return a keyword of the first schema that has it, choices left out."""
        found = (schema.get(keyword) for schema in self.schemas if "const" not in schema)
        return next((text for text in found if isinstance(text, str) and text.strip()), "")


def _applying(root: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return `schema` and the schemas that it applies to the same value, each once."""
    found: list[Mapping[str, Any]] = []
    seen: set[int] = set()
    pending: deque[Any] = deque([schema])
    while pending and len(found) < _MOST_SCHEMAS:
        node = pending.popleft()
        if not isinstance(node, Mapping) or id(node) in seen:
            continue
        seen.add(id(node))
        found.append(node)
        pending += _in_place(root, node)
    return found


def _in_place(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Any]:
    reference = schema.get("$ref")
    if isinstance(reference, str):
        yield _referred(root, reference)
    for keyword in _TOGETHER:
        members = schema.get(keyword)
        yield from members if isinstance(members, list) else ()
    for keyword in _CONDITIONAL:
        yield schema.get(keyword)
    yield from _mapping(schema.get("dependentSchemas")).values()


def _referred(root: Mapping[str, Any], reference: str) -> Any:
    node: Any = root
    for token in unquote(reference).removeprefix("#").split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
