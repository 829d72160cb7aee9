"""Places of files in payloads. Pure. A payload costs time in proportion to its size, whatever it repeats."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

from policies.documents.annotations import KEYWORD
from threada_site.kernel.json.pointers import pointer_to
from threada_site.kernel.weighted_cache import WeightedCache
from workitems.display.schema_view import SchemaView

FORMAT: Final = "file"
_MOST_NODES_KEPT: Final = 100_000
"""Objects, lists and values of all schemas that are kept."""

type Place = tuple[str, Any, str | int, Mapping[str, Any]]
"""Pointer, object or list that contains the value, its key there, and the annotation."""


def has_files(schema: Any) -> bool:
    """Return True if a payload schema has the format `file` anywhere. Cached by the identity of the schema."""
    known = _known.get(id(schema))
    if known is None or known[0] is not schema:
        found, nodes = _annotates_file(schema)
        known = (schema, found)
        _known.put(id(schema), known, weight=nodes)
    return known[1]


def file_places(schema: Any, payload: Any) -> Iterator[Place]:
    """Yield the places of values of the format `file`. Null is no file."""
    pending: deque[tuple[str, Any, _Described]] = deque([("", payload, _Described.root(schema))])
    while pending:
        base, value, described = pending.popleft()
        for key, part, inner in described.parts_of(value):
            annotation = file_annotation(inner.view)
            if annotation is None:
                if isinstance(part, dict | list):
                    pending.append((pointer_to(base, key), part, inner))
            elif part is not None:
                yield pointer_to(base, key), value, key, annotation


def file_annotation(view: SchemaView) -> Mapping[str, Any] | None:
    """Return the annotation of a value of the format `file`; None for other values."""
    found = view.annotation
    return found if found.get("format") == FORMAT else None


class _Described:
    """Schemas of one value, with those of its described parts. Values with the same schemas share one object."""

    def __init__(self, view: SchemaView, known: dict[tuple[int, ...], _Described]) -> None:
        self.view = view
        self._known = known
        self._parts: dict[str | int, _Described] = {}
        named = (schema.get("properties") for schema in view.schemas)
        self._properties = tuple(each for each in named if isinstance(each, Mapping))
        self._fixed = max((_fixed_elements(schema) for schema in view.schemas), default=0)

    @classmethod
    def root(cls, schema: Any) -> _Described:
        return cls(SchemaView.of(schema), {})

    def parts_of(self, value: Any) -> Iterator[tuple[Any, Any, _Described]]:
        """Yield key, value and schemas of the described parts of an object or a list."""
        if isinstance(value, dict):
            for name, part in value.items():
                if any(name in properties for properties in self._properties):
                    yield name, part, self._part(name)
        elif isinstance(value, list):
            has_more = self._part(self._fixed).view.is_described
            for place, part in enumerate(value if has_more else value[: self._fixed]):
                yield place, part, self._part(min(place, self._fixed))

    def _part(self, key: str | int) -> _Described:
        found = self._parts.get(key)
        if found is None:
            view = self.view.member(key) if isinstance(key, str) else self.view.element(key)
            schemas = tuple(map(id, view.schemas))
            found = self._known.get(schemas)
            if found is None:
                found = self._known[schemas] = _Described(view, self._known)
            self._parts[key] = found
        return found


def _fixed_elements(schema: Mapping[str, Any]) -> int:
    """Return how many first elements of a list a schema describes one by one."""
    lists = (schema.get(keyword) for keyword in ("prefixItems", "items"))
    return max((len(each) for each in lists if isinstance(each, list)), default=0)


def _annotates_file(schema: Any) -> tuple[bool, int]:
    """Return whether a schema has the format `file`, and the number of its objects, lists and values."""
    found, nodes = False, 0
    pending = [schema]
    while pending:
        node = pending.pop()
        nodes += 1
        if isinstance(node, Mapping):
            annotation = node.get(KEYWORD)
            found = found or (isinstance(annotation, Mapping) and annotation.get("format") == FORMAT)
            pending += node.values()
        elif isinstance(node, list | tuple):
            pending += node
    return found, nodes


_known: Final = WeightedCache[int, tuple[Any, bool]](max_weight=_MOST_NODES_KEPT)
"""The schema is part of the entry, so that its identity is not used for another object."""
