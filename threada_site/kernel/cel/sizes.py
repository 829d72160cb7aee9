"""Upper bounds on the sizes of values that an expression reads: unknown values, values of a JSON Schema, built values.

A weight is the cost of comparing a value with itself, in the units of `threada_site.kernel.cel.cost`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from threada_site.kernel.cel.shapes import follow_reference

KEY_WEIGHT: Final = 2.0
"""Weight of an entry of a map beside its value."""
BYTES_PER_UNIT: Final = 2048
"""Bytes of text compared in one unit."""

LIST_TEXT_BYTES: Final = 4096
"""Largest text in a named list (`lists.name`)."""

_BYTES_PER_CHARACTER: Final = 4
_BYTES_PER_ITEM: Final = 2
_BYTES_PER_ENTRY: Final = 5
_UNITS_PER_BYTE: Final = 0.6
_KINDS: Final = {"array": list, "object": dict, "string": str}
_MAX_REFERENCES: Final = 32
_MAX_DEPTH: Final = 40


class Size:
    """Bounds of a scalar, and the interface of all bounds.

    `count`: items or entries. `text`: bytes of text. `is_text`: False if the value cannot be text.
    """

    count: float = 0
    text: float = 0
    weight: float = 1.0

    def field(self, name: str) -> Size:
        """Return the bounds of one entry of a map."""
        return self

    def child(self) -> Size:
        """Return the bounds of any item of a list and any value of a map."""
        return self

    def looped(self) -> Size:
        """Return the bounds of a loop variable: an item of a list, or a key of a map."""
        return self


SCALAR: Final = Size()


@dataclass(frozen=True, slots=True)
class AnyValue(Size):
    """Bounds of an unknown value whose JSON has at most so many bytes. Its parts have the same bounds."""

    size: float

    @property
    def count(self) -> float:  # type: ignore[override]
        return self.size / _BYTES_PER_ITEM

    @property
    def text(self) -> float:  # type: ignore[override]
        return self.size

    @property
    def weight(self) -> float:  # type: ignore[override]
        return weight_of_bytes(self.size)


@dataclass(frozen=True, slots=True)
class Text(Size):
    """Bounds of text."""

    text: float = 0

    @property
    def weight(self) -> float:  # type: ignore[override]
        return weight_of_text(self.text)


@dataclass(frozen=True, slots=True, eq=False)
class Built(Size):
    """Bounds of a list or map that the expression itself writes, or of a map of variables."""

    named: Mapping[str, Size]
    others: Size
    count: float = 0
    weight: float = 1.0

    def field(self, name: str) -> Size:
        return self.named.get(name, self.others)

    def child(self) -> Size:
        return joined([*self.named.values(), self.others])

    def looped(self) -> Size:
        return joined([self.child(), Text(max((len(name.encode()) for name in self.named), default=0))])


@dataclass(frozen=True, slots=True)
class Joined(Size):
    """Bounds of a value that is one of several."""

    sizes: tuple[Size, ...]

    @property
    def count(self) -> float:  # type: ignore[override]
        return max(size.count for size in self.sizes)

    @property
    def text(self) -> float:  # type: ignore[override]
        return max(size.text for size in self.sizes)

    @property
    def weight(self) -> float:  # type: ignore[override]
        return max(size.weight for size in self.sizes)

    def field(self, name: str) -> Size:
        return joined([size.field(name) for size in self.sizes])

    def child(self) -> Size:
        return joined([size.child() for size in self.sizes])

    def looped(self) -> Size:
        return joined([size.looped() for size in self.sizes])


@dataclass(frozen=True, slots=True, eq=False)
class _Document:
    """A JSON Schema and the largest size of the JSON of a value.

    `weights` contains those of subschemas by identity, `pending` the subschemas whose weight is being computed.
    """

    root: Any
    size: float
    weights: dict[int, float] = field(default_factory=dict)
    pending: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True, eq=False)
class OfSchema(Size):
    """Bounds of a value that matches a JSON Schema. A keyword that is not understood bounds nothing."""

    document: _Document
    schema: Mapping[str, Any]

    @property
    def count(self) -> float:  # type: ignore[override]
        items = self._number("maxItems", self.document.size / _BYTES_PER_ITEM) if self._may_be("array") else 0
        return max(items, self._entries() if self._may_be("object") else 0)

    @property
    def text(self) -> float:  # type: ignore[override]
        if not self._may_be("string"):
            return 0
        if choices := self._choices():
            return max((len(choice.encode()) for choice in choices if isinstance(choice, str)), default=0)
        longest = self._number("maxLength", self.document.size) * _BYTES_PER_CHARACTER
        return min(longest, self.document.size)

    @property
    def weight(self) -> float:  # type: ignore[override]
        document, key = self.document, id(self.schema)
        known = document.weights.get(key)
        if known is not None:
            return known
        unlimited = weight_of_bytes(document.size)
        if key in document.pending or len(document.pending) > _MAX_DEPTH:
            return unlimited
        document.pending.add(key)
        document.weights[key] = min(unlimited, max(self._weights()))
        document.pending.remove(key)
        return document.weights[key]

    def field(self, name: str) -> Size:
        properties = self.schema.get("properties")
        if isinstance(properties, dict) and name in properties:
            return self._of(properties[name])
        return SCALAR if self._is_closed() else self._other_entries()

    def child(self) -> Size:
        sizes = [self._items()] if self._may_be("array") else []
        if self._may_be("object"):
            properties = self.schema.get("properties")
            known = properties.values() if isinstance(properties, dict) else ()
            sizes += [self._other_entries(), *map(self._of, known)]
        return joined(sizes)

    def looped(self) -> Size:
        sizes = [self._items()] if self._may_be("array") else []
        return joined([*sizes, *([Text(self.document.size)] if self._may_be("object") else [])])

    def _weights(self) -> list[float]:
        weights = [1.0 if not self._may_be("string") else weight_of_text(self.text)]
        if self._may_be("array"):
            weights.append(1 + self._number("maxItems", self.document.size / _BYTES_PER_ITEM) * self._items().weight)
        if self._may_be("object"):
            weights.append(self._weight_of_entries())
        return weights

    def _weight_of_entries(self) -> float:
        known = self.schema.get("properties")
        properties = known if isinstance(known, dict) else {}
        weight = 1.0
        for name, schema in properties.items():
            weight += KEY_WEIGHT + len(name.encode()) / BYTES_PER_UNIT + self._of(schema).weight
        if self._is_closed():
            return weight
        others = max(0, self._entries() - len(properties)) if "maxProperties" in self.schema else self._entries()
        keys = self.document.size / BYTES_PER_UNIT
        return weight + keys + others * (KEY_WEIGHT + self._other_entries().weight)

    def _entries(self) -> float:
        most = self._number("maxProperties", self.document.size / _BYTES_PER_ENTRY)
        known = self.schema.get("properties")
        return min(most, len(known) if isinstance(known, dict) else 0) if self._is_closed() else most

    def _is_closed(self) -> bool:
        return self.schema.get("additionalProperties") is False and "patternProperties" not in self.schema

    def _items(self) -> Size:
        items = self.schema.get("items")
        return AnyValue(self.document.size) if "prefixItems" in self.schema else self._of(items)

    def _other_entries(self) -> Size:
        if "patternProperties" in self.schema:
            return AnyValue(self.document.size)
        return self._of(self.schema.get("additionalProperties"))

    def _of(self, schema: Any) -> Size:
        return _of_schema(self.document, schema)

    def _choices(self) -> Collection[Any]:
        if "const" in self.schema:
            return [self.schema["const"]]
        choices = self.schema.get("enum")
        return choices if isinstance(choices, list) else []

    def _may_be(self, kind: str) -> bool:
        if choices := self._choices():
            return any(isinstance(choice, _KINDS[kind]) for choice in choices)
        kinds = self.schema.get("type")
        return kinds == kind or (kind in kinds if isinstance(kinds, list) else kinds is None)

    def _number(self, keyword: str, otherwise: float) -> float:
        number = self.schema.get(keyword)
        is_number = isinstance(number, int | float) and not isinstance(number, bool)
        return min(float(number), otherwise) if is_number else otherwise  # type: ignore[arg-type]


def size_of_schema(schema: Any, *, size: float) -> Size:
    """Return the bounds of values that match `schema` and whose JSON has at most `size` bytes."""
    return _of_schema(_Document(schema, size), schema)


def joined(sizes: Collection[Size]) -> Size:
    """Return the bounds of a value that is one of several."""
    different = tuple(dict.fromkeys(part for size in sizes for part in _parts(size)))
    if not different:
        return SCALAR
    widest = max((part.size for part in different if isinstance(part, AnyValue)), default=None)
    if widest is not None:
        different = (AnyValue(widest), *(part for part in different if not isinstance(part, AnyValue)))
        if all(isinstance(part, AnyValue | Text) or part is SCALAR for part in different):
            return AnyValue(max(widest, *(part.text for part in different)))
    return different[0] if len(different) == 1 else Joined(different)


def weight_of_text(size: float) -> float:
    """Return the weight of text with so many bytes."""
    return 1 + size / BYTES_PER_UNIT


def weight_of_bytes(size: float) -> float:
    """Return the largest weight of a value whose JSON has so many bytes: maps of maps with short keys."""
    return 1 + size * _UNITS_PER_BYTE


def _parts(size: Size) -> tuple[Size, ...]:
    return size.sizes if isinstance(size, Joined) else (size,)


def _of_schema(document: _Document, schema: Any) -> Size:
    for _ in range(_MAX_REFERENCES):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str):
            break
        schema = follow_reference(document.root, reference)
    return OfSchema(document, schema) if isinstance(schema, dict) else AnyValue(document.size)


def size_of_lists(counts: Mapping[str, int]) -> Size:
    """Return the bounds of named lists with so many numbers or texts of at most `LIST_TEXT_BYTES`."""
    named = {name: _size_of_list(count) for name, count in counts.items()}
    weight = 1 + sum(KEY_WEIGHT + weight_of_text(len(name.encode())) + size.weight for name, size in named.items())
    return Built(named, SCALAR, count=len(counts), weight=weight)


def size_of_any_lists(count: int) -> Size:
    """Return the bounds of at most `count` named lists with at most `count` items each."""
    one = _size_of_list(count)
    return Built({}, one, count=count, weight=1 + count * (KEY_WEIGHT + 1 + one.weight))


def _size_of_list(count: int) -> Size:
    item = Text(LIST_TEXT_BYTES)
    return Built({}, item, count=count, weight=1 + count * item.weight)
