"""Static analysis of a JSON Schema: its references, and an upper bound on evaluations.

References may only point into the same document; nothing is fetched. References can multiply (two per level give 2^64
evaluations at the maximum depth), so the number of evaluations is bounded before a schema is accepted.
"""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from policies.documents.annotations import KEYWORD, annotation_errors
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.patterns import MAX_TOGETHER, cost_of_pattern
from threada_site.kernel.json.pointers import pointer_to
from threada_site.kernel.json.strict import MAX_DEPTH

MAX_SCHEMAS: Final = 20_000
MIN_EVALUATIONS: Final = 1_000
"""Number of evaluations on one path into a value that every schema may cause. Larger schemas may cause more."""
_EVALUATIONS_PER_SCHEMA: Final = 4
_SCALAR_COMPARISON: Final = 0.2
_COMPARISON: Final = 3
_UNLIMITED: Final = 10**12
"""Cost in evaluations. The engine compares a value with each one of an `enum`, unless all are texts or all numbers."""

_IN_PLACE_ONE: Final = ("not", "if", "then", "else")
_IN_PLACE_LIST: Final = ("allOf", "anyOf", "oneOf")
_IN_PLACE_MAP: Final = ("dependentSchemas", "dependencies")
_DEFINITIONS: Final = ("$defs", "definitions")
_PROPERTIES_ALL: Final = ("additionalProperties", "unevaluatedProperties", "propertyNames")
_ITEMS_ALL: Final = ("items", "additionalItems", "unevaluatedItems", "contains")
DRAFTS: Final = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
)
"""Drafts of JSON Schema that are supported; the first one is the default."""
_NOT_SUPPORTED: Final = ("$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef")
KEYWORDS: Final = frozenset(
    (
        *("$schema", "$id", "$ref", "$defs", "$comment", "$vocabulary", *_NOT_SUPPORTED, KEYWORD),
        *(*_IN_PLACE_ONE, *_IN_PLACE_LIST, *_IN_PLACE_MAP, *_DEFINITIONS, *_PROPERTIES_ALL, *_ITEMS_ALL),
        *("properties", "patternProperties", "prefixItems", "type", "enum", "const", "required", "dependentRequired"),
        *("multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength"),
        *("pattern", "maxItems", "minItems", "uniqueItems", "maxContains", "minContains", "maxProperties"),
        *("minProperties", "format", "contentEncoding", "contentMediaType", "contentSchema", "title", "description"),
        *("default", "deprecated", "readOnly", "writeOnly", "examples"),
    )
)
"""Keywords of the drafts 7, 2019-09 and 2020-12, and Threada's own."""


@dataclass(slots=True)
class _Children:
    """Subschemas for children: at most one of `one_of` applies to a given child, all of `each` may apply."""

    one_of: list[str] = field(default_factory=list)
    each: list[str] = field(default_factory=list)

    def cost(self, costs: Mapping[str, int]) -> int:
        return max((costs[place] for place in self.one_of), default=0) + sum(costs[place] for place in self.each)


@dataclass(slots=True)
class _Schema:
    """One (sub)schema: schemas that apply to the same value, and schemas that apply to its children."""

    comparisons: int = 0
    matching: int = 0
    in_place: list[str] = field(default_factory=list)
    properties: _Children = field(default_factory=_Children)
    items: _Children = field(default_factory=_Children)


class SchemaGraph:
    """All schemas of one document by JSON pointer, and the errors in their references.

    `has_alternatives` is True if the document uses `anyOf` or `oneOf`. `nested_drafts` are the places of schemas below
    the top that name a draft, which is ignored: published schemas repeat `$schema` in the schemas that they bundle.
    """

    def __init__(self, document: Any) -> None:
        self.errors: list[FieldError] = []
        self.has_alternatives = False
        self.nested_drafts: list[str] = []
        self.unknown_keywords: list[tuple[str, str]] = []
        self._document = document
        self._pattern_bytes = 0
        self._schemas: dict[str, _Schema] = {}
        self._pending: list[tuple[str, Any]] = [("", document)]
        while self._pending:
            place, schema = self._pending.pop()
            if place in self._schemas:
                continue
            if len(self._schemas) >= MAX_SCHEMAS:
                self._add_error("", f"It contains more than {MAX_SCHEMAS} schemas. Make it smaller.", "too_large")
                return
            self._schemas[place] = self._read(place, schema) if isinstance(schema, dict) else _Schema()
            if isinstance(schema, dict) and KEYWORD in schema:
                self.errors.extend(
                    annotation_errors(schema[KEYWORD], pointer_to(place, KEYWORD), of=schema.get("type"))
                )

    def evaluations(self) -> tuple[int, ...]:
        """Return the maximum number of evaluations on one path into a value, by nesting depth (0 for a scalar).

        The sequence ends before the number exceeds `most_evaluations`; deeper values must not be checked. If
        references do not multiply, it ends at depth 64, the maximum of any value. Raises `graphlib.CycleError` if a
        schema refers to itself without descending into the value.
        """
        most = self.most_evaluations
        return tuple(self._by_depth(lambda schema: 1 + schema.comparisons, most=most))

    def matching(self) -> tuple[int, ...]:
        """Return the time for ten characters in all patterns on one path into a value, by nesting depth; 0.1 µs each.

        Raises `graphlib.CycleError` like `evaluations`.
        """
        if not self._pattern_bytes:
            return (0,)
        return tuple(self._by_depth(lambda schema: schema.matching, most=_UNLIMITED))

    def _by_depth(self, cost_of: Callable[[_Schema], int], *, most: int) -> Iterator[int]:
        """Yield the sum of costs on the most expensive path into a value, by nesting depth, up to `most`."""
        order = list(
            graphlib.TopologicalSorter(
                {place: schema.in_place for place, schema in self._schemas.items()}
            ).static_order()
        )
        costs: dict[str, int] = {}
        for depth in range(MAX_DEPTH + 1):
            below, costs = costs, {}
            for place in order:
                schema = self._schemas[place]
                cost = cost_of(schema) + sum(costs[other] for other in schema.in_place)
                if depth:
                    cost += max(schema.properties.cost(below), schema.items.cost(below))
                costs[place] = min(cost, most + 1)
            if costs[""] > most:
                return
            if costs == below:
                yield from [costs[""]] * (MAX_DEPTH + 1 - depth)
                return
            yield costs[""]

    @property
    def most_evaluations(self) -> int:
        """Limit of the number of evaluations on one path into a value."""
        size = sum(1 + schema.comparisons for schema in self._schemas.values())
        return max(MIN_EVALUATIONS, _EVALUATIONS_PER_SCHEMA * size)

    def _add_error(self, place: str, detail: str, code: str = "invalid") -> None:
        self.errors.append(FieldError(place, detail, code))

    def _read(self, place: str, schema: dict[str, Any]) -> _Schema:
        self.unknown_keywords.extend((place, keyword) for keyword in schema if keyword not in KEYWORDS)
        for keyword in _NOT_SUPPORTED:
            if keyword in schema:
                self._add_error(pointer_to(place, keyword), f"{keyword} is not supported. Use $ref with #/$defs/….")
        if place and "$id" in schema:
            self._add_error(pointer_to(place, "$id"), "$id is only allowed at the top of the schema.")
        if place and "$schema" in schema:
            self._nested_draft(place, schema["$schema"])
        found = _Schema(_comparisons(schema.get("enum")), self._matching(place, schema))
        if isinstance(schema.get("$ref"), str):
            found.in_place.extend(self._reference(pointer_to(place, "$ref"), schema["$ref"]))
        found.in_place.extend(self._ones(place, schema, _IN_PLACE_ONE))
        self.has_alternatives = self.has_alternatives or "anyOf" in schema or "oneOf" in schema
        for keyword in _IN_PLACE_LIST:
            found.in_place.extend(self._several(place, schema, keyword))
        for keyword in _IN_PLACE_MAP:
            found.in_place.extend(self._several(place, schema, keyword))
        for keyword in _DEFINITIONS:
            list(self._several(place, schema, keyword))
        found.properties.one_of.extend(self._several(place, schema, "properties"))
        found.properties.each.extend(self._several(place, schema, "patternProperties"))
        found.properties.each.extend(self._ones(place, schema, _PROPERTIES_ALL))
        found.items.one_of.extend(self._several(place, schema, "prefixItems"))
        if isinstance(schema.get("items"), list):  # prefixItems in drafts before 2020-12
            found.items.one_of.extend(self._several(place, schema, "items"))
        found.items.each.extend(self._ones(place, schema, _ITEMS_ALL))
        return found

    def _nested_draft(self, place: str, draft: Any) -> None:
        """Accept the draft of the whole document, and any known draft if the document names none."""
        named = str(draft).removesuffix("#")
        of_document = self._document.get("$schema")
        if (named in DRAFTS and of_document is None) or named == str(of_document).removesuffix("#"):
            self.nested_drafts.append(place)
            return
        detail = "A schema inside of another has the draft of the whole schema. Remove $schema here, or use one draft."
        self._add_error(pointer_to(place, "$schema"), detail, "draft")

    def _matching(self, place: str, schema: dict[str, Any]) -> int:
        """Return the time for ten characters in the patterns of one schema."""
        named = schema.get("patternProperties")
        patterns = [*(named if isinstance(named, dict) else ()), schema.get("pattern")]
        time = 0
        for pattern in patterns:
            if isinstance(pattern, str) and self._pattern_bytes <= MAX_TOGETHER:
                cost = cost_of_pattern(pattern)
                time += cost.per_ten_characters
                self._pattern_bytes += cost.size
                if self._pattern_bytes > MAX_TOGETHER:
                    self._add_error(place, "The patterns up to here are too large together. Shorten them.", "too_large")
        return time

    def _ones(self, place: str, schema: dict[str, Any], keywords: tuple[str, ...]) -> Iterator[str]:
        for keyword in keywords:
            if isinstance(schema.get(keyword), dict | bool):
                yield self._visit(pointer_to(place, keyword), schema[keyword])

    def _several(self, place: str, schema: dict[str, Any], keyword: str) -> Iterator[str]:
        """Yield the schemas in the list or map under `keyword`; the meta-schema reports other values."""
        value = schema.get(keyword)
        entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, entry in entries:
            if isinstance(entry, dict | bool):
                yield self._visit(pointer_to(place, keyword, key), entry)

    def _visit(self, place: str, schema: Any) -> str:
        self._pending.append((place, schema))
        return place

    def _reference(self, place: str, reference: str) -> Iterator[str]:
        target = unquote(reference[1:])
        if not reference.startswith("#") or (target and not target.startswith("/")):
            self._add_error(
                place,
                f"{reference[:100]!r} points out of this schema. Nothing is fetched: copy it into $defs and refer to "
                "#/$defs/….",
                "reference_not_local",
            )
            return
        schema: Any = self._document
        canonical = ""
        for token in target.split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            canonical = pointer_to(canonical, key)
            if isinstance(schema, dict) and key in schema:
                schema = schema[key]
            elif isinstance(schema, list) and key.isascii() and key.isdigit() and int(key[:6]) < len(schema):
                schema = schema[int(key[:6])]
            else:
                self._add_error(place, f"{reference[:100]!r} points at nothing in this schema.", "reference_not_found")
                return
        yield self._visit(canonical, schema)


def _comparisons(choices: Any) -> int:
    """Return the cost of `enum` in evaluations."""
    if not isinstance(choices, list) or any({*map(type, choices)} <= kinds for kinds in ({str}, {int, float})):
        return 0
    is_nested = any(isinstance(choice, list | dict) for choice in choices)
    return int(len(choices) * (_COMPARISON if is_nested else _SCALAR_COMPARISON))
