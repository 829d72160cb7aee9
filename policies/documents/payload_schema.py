"""Validation of payload schemas, and of payloads against them.

Schemas are JSON Schema 2020-12 unless `$schema` names draft 2019-09 or 7. `format` is an annotation unless a workflow
asserts it, as in the specification. Patterns match in linear time, so look-around and back-references are refused.
Messages never contain values of the payload, because they appear in answers and receipts.
"""

from __future__ import annotations

import copy
import functools
import graphlib
import json
from collections.abc import Iterator
from typing import Any, Final

import jsonschema_rs

from policies.documents.schema_graph import DRAFTS, SchemaGraph
from threada_site.kernel.errors import DocumentInvalid, FieldError, JsonNotInteroperable
from threada_site.kernel.json import strict as interop
from threada_site.kernel.json.patterns import OPTIONS
from threada_site.kernel.json.pointers import pointer_to, value_at
from threada_site.kernel.json.schemas import unknown_names
from threada_site.kernel.weighted_cache import WeightedCache

MAX_ERRORS: Final = 50
MAX_SCHEMA_BYTES: Final = 1024 * 1024
MAX_EVALUATIONS: Final = 10_000_000
"""Bound on evaluations of subschemas for one payload. The engine cannot be interrupted and takes 0.1 µs for each."""
MAX_MATCHING: Final = 20_000_000
"""Bound on the time of patterns for one payload, in units of 0.1 µs."""
MIN_VALUE_DEPTH: Final = 8

_VALIDATORS: Final[dict[str, type[jsonschema_rs.Validator]]] = dict(
    zip(
        DRAFTS,
        (jsonschema_rs.Draft202012Validator, jsonschema_rs.Draft201909Validator, jsonschema_rs.Draft7Validator),
        strict=True,
    )
)
_MOST_KEPT: Final = 4 * 1024 * 1024
"""Bytes of schemas whose compiled form is kept. It takes about 15 times as much memory."""
_OWN_WEIGHT: Final = 1_000
_MAX_DETAIL: Final = 300
_MAX_SEARCH: Final = 20_000

_DETAILS: Final = {
    "required": "This property is required.",
    "additionalProperties": "This property is not allowed.",
    "unevaluatedProperties": "This property is not allowed.",
    "falseSchema": "No value is allowed here.",
    "contains": "No item matches `contains`.",
    "not": "The value matches `not`.",
}


def check_schema(schema: Any, *, pointer: str = "") -> list[FieldError]:
    """Return the errors of a payload schema. `pointer` is its place in the document."""
    return [
        FieldError(pointer + error.pointer, error.detail, error.code) for error in _schema_errors(schema)[:MAX_ERRORS]
    ]


def validate(schema: Any, payload: Any, *, pointer: str = "/payload", assert_format: bool = False) -> list[FieldError]:
    """Return the errors of `payload` against `schema`, at most 50, each with the pointer of its field.

    A missing property has the pointer it would have. For a payload with thousands of values only the first error is
    returned. Raises `DocumentInvalid` for an invalid schema.
    """
    return payload_schema(schema, assert_format=assert_format).errors(payload, pointer=pointer)


def payload_schema(schema: Any, *, assert_format: bool = False) -> PayloadSchema:
    """Return the compiled schema, cached per process. Raises `DocumentInvalid` for an invalid schema.

    `schema` must not change afterwards: the next call with the same object does not read it again.
    """
    known = _by_identity.get((id(schema), assert_format))
    if known is not None and known[0] is schema:
        return known[1]
    text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
    compiled = _by_text.get((text, assert_format)) or PayloadSchema(json.loads(text), assert_format=assert_format)
    weight = len(text) + _OWN_WEIGHT
    _by_text.put((text, assert_format), compiled, weight=weight)
    _by_identity.put((id(schema), assert_format), (schema, compiled), weight=weight)
    return compiled


class PayloadSchema:
    """A compiled schema. Immutable, so it can be cached with a workflow version."""

    __slots__ = ("_evaluations", "_has_alternatives", "_known", "_matching", "_validator")

    def __init__(self, schema: Any, *, assert_format: bool) -> None:
        errors = check_schema(schema)
        if errors:
            raise DocumentInvalid("The payload schema is invalid. Fix the fields listed in errors.", errors=errors)
        graph = SchemaGraph(schema)
        self._evaluations = graph.evaluations()
        self._has_alternatives = graph.has_alternatives
        self._matching = graph.matching()
        self._known = _closed_names(schema)
        self._validator = _build(_without_nested_drafts(schema, graph), assert_format=assert_format)

    def errors(self, payload: Any, *, pointer: str = "/payload") -> list[FieldError]:
        """Return the errors of `payload`, as `validate` does. `payload` is I-JSON (`kernel.interop`)."""
        deepest = len(self._evaluations) - 1
        depth, size = _depth_and_size(payload)
        if deepest < interop.MAX_DEPTH and depth > deepest:
            detail = f"This schema accepts values nested at most {deepest} levels deep. Flatten the value."
            return [FieldError(pointer, detail, "too_deep")]
        evaluations = size * self._evaluations[min(depth, deepest)]
        if evaluations > MAX_EVALUATIONS:
            detail = (
                f"Checking this value could take {evaluations:,} evaluations of its schema; {MAX_EVALUATIONS:,} are "
                "allowed. Send fewer values, or have fewer alternatives in the schema."
            )
            return [FieldError(pointer, detail, "too_large")]
        matching = self._matching[min(depth, len(self._matching) - 1)]
        if matching and matching * _characters(payload) > 10 * MAX_MATCHING:
            detail = "Matching its texts with the patterns of the schema could take too long. Send shorter texts."
            return [FieldError(pointer, detail, "too_large")]
        unknown = self._unknown_names(payload, pointer)
        if unknown:
            return unknown
        if self._validator.is_valid(payload):
            return []
        if evaluations > _MAX_SEARCH:
            return self._first_error(payload, pointer)
        return _distinct(self._validator.iter_errors(payload), pointer)

    def _unknown_names(self, payload: Any, pointer: str) -> list[FieldError]:
        """Return errors of the first 50 of many members that a closed schema does not know."""
        found = unknown_names(payload, self._known, prefix=pointer) if self._known is not None else []
        return [FieldError(each.pointer, _DETAILS["additionalProperties"], "additionalProperties") for each in found]

    def _first_error(self, payload: Any, pointer: str) -> list[FieldError]:
        """Return at most one error, for large payloads. The engine builds all errors before it returns the first.

        For a failed `anyOf` it builds all errors of all alternatives (gigabytes, measured), so it is not asked then.
        """
        if self._has_alternatives:
            detail = "The payload does not match its schema and is too large to locate the error. Send a smaller one."
            return [FieldError(pointer, detail, "too_large")]
        try:
            self._validator.validate(payload)
        except jsonschema_rs.ValidationError as error:
            return _distinct(iter([error]), pointer)
        return []


_by_text: Final = WeightedCache[tuple[str, bool], PayloadSchema](max_weight=_MOST_KEPT)
_by_identity: Final = WeightedCache[tuple[int, bool], tuple[Any, PayloadSchema]](max_weight=_MOST_KEPT)
"""The schema is part of the entry, so that its identity is not used for another object."""


def _schema_errors(schema: Any) -> list[FieldError]:
    """Return the errors of the first failing check; each check relies on the ones before it."""
    if not isinstance(schema, dict):
        return [FieldError("", "A payload schema is an object, e.g. {type: object, properties: {…}}.", "type")]
    try:
        interop.check_value(schema)
    except JsonNotInteroperable as error:
        return [FieldError("", error.detail, error.reason_code)]
    if len(json.dumps(schema, ensure_ascii=False).encode()) > MAX_SCHEMA_BYTES:
        return [FieldError("", f"A payload schema has at most {MAX_SCHEMA_BYTES // 1024:,} KB.", "too_large")]
    draft = _draft(schema)
    if draft not in DRAFTS:
        named = " or ".join(DRAFTS)
        return [FieldError("/$schema", f"This draft is not supported. Use {named}, or leave it out.", "draft")]
    misshapen = _distinct(_meta_validator(draft).iter_errors(schema), "")
    if misshapen:
        return misshapen
    graph = SchemaGraph(schema)
    return _graph_errors(graph) or _build_errors(_without_nested_drafts(schema, graph))


def _without_nested_drafts(schema: dict[str, Any], graph: SchemaGraph) -> dict[str, Any]:
    """Return the schema without the drafts that schemas inside of it name. The engine would change the draft there."""
    if not graph.nested_drafts:
        return schema
    cleaned = copy.deepcopy(schema)
    for place in graph.nested_drafts:
        del value_at(cleaned, place)["$schema"]
    return cleaned


def _graph_errors(graph: SchemaGraph) -> list[FieldError]:
    if graph.errors:
        return graph.errors
    try:
        evaluations = graph.evaluations()
    except graphlib.CycleError as error:
        place = error.args[1][0]
        return [FieldError(place, "It refers to itself without descending into the value.", "endless_reference")]
    if len(evaluations) <= MIN_VALUE_DEPTH:
        detail = "The references multiply: checking one value would take too long. Use fewer references per schema."
        return [FieldError("", detail, "too_large")]
    return []


def _build_errors(schema: dict[str, Any]) -> list[FieldError]:
    try:
        _build(schema, assert_format=False)
    except jsonschema_rs.ValidationError as error:
        detail = error.message
        if error.kind.name == "format":
            detail = (
                "This is not a linear-time regular expression, or it is too large. Remove look-around, back-references "
                "and large repetitions."
            )
        return [FieldError(pointer_to("", *error.instance_path), detail[:_MAX_DETAIL], error.kind.name)]
    return []


def _draft(schema: dict[str, Any]) -> str:
    return str(schema.get("$schema", DRAFTS[0])).removesuffix("#")


def _build(schema: dict[str, Any], *, assert_format: bool) -> jsonschema_rs.Validator:
    return _VALIDATORS[_draft(schema)](
        schema, validate_formats=assert_format, pattern_options=OPTIONS, mask="The value", offline=True
    )


@functools.cache
def _meta_validator(draft: str) -> jsonschema_rs.Validator:
    return _VALIDATORS[draft]({"$ref": draft}, validate_formats=False, offline=True)


def _distinct(errors: Iterator[jsonschema_rs.ValidationError], pointer: str) -> list[FieldError]:
    found: dict[FieldError, None] = {}
    for error in errors:
        for entry in _field_errors(error, pointer):
            found[entry] = None
            if len(found) == MAX_ERRORS:
                return list(found)
    return list(found)


def _field_errors(error: jsonschema_rs.ValidationError, pointer: str) -> Iterator[FieldError]:
    """Yield field errors for one error of the engine, each at the most specific pointer."""
    place = pointer_to(pointer, *error.instance_path)
    kinds = jsonschema_rs.ValidationErrorKind
    match error.kind:
        case kinds.Required(property=name):
            places = [pointer_to(place, name)]
        case kinds.AdditionalProperties(unexpected=names) | kinds.UnevaluatedProperties(unexpected=names):
            places = [pointer_to(place, name) for name in names[:MAX_ERRORS]]
        case kinds.AnyOf(context=branches) | kinds.OneOfNotValid(context=branches):
            meant = [branch for branch in branches if not _is_another_kind(branch, error)]
            if len(meant) == 1:
                for inner in meant[0]:
                    yield from _field_errors(inner, pointer)
                return
            places = [place]
        case kinds.FalseSchema() if error.schema_path[-1:] == ["additionalProperties"]:
            yield FieldError(place, "This object allows no properties.", "additionalProperties")
            return
        case _:
            places = [place]
    code = "false_schema" if error.kind.name == "falseSchema" else error.kind.name
    for each in places:
        yield FieldError(each, _DETAILS.get(error.kind.name, error.message)[:_MAX_DETAIL], code)


def _is_another_kind(branch: list[jsonschema_rs.ValidationError], error: jsonschema_rs.ValidationError) -> bool:
    """Return True if an alternative expects another type of value, so that its details do not help."""
    return any(
        inner.kind.name in ("type", "const", "enum") and inner.instance_path == error.instance_path for inner in branch
    )


def _closed_names(schema: Any) -> frozenset[str] | None:
    """Return the only names that the payload may have, or None if it may have others."""
    if not isinstance(schema, dict) or schema.get("additionalProperties") is not False:
        return None
    return None if schema.keys() & {"patternProperties", "$ref"} else frozenset(schema.get("properties", {}))


def _characters(value: Any) -> int:
    """Return the number of characters of all texts and names in a JSON value."""
    found, pending = 0, [value]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            found += len(node)
        elif isinstance(node, dict):
            pending.extend(node)
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return found


def _depth_and_size(value: Any) -> tuple[int, int]:
    """Return the nesting depth of a JSON value (0 for a scalar) and its number of values, itself included."""
    level, depth, size = [value], -1, 0
    while level:
        depth += 1
        size += len(level)
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    return depth, size
