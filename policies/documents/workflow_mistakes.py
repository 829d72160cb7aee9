"""Probable mistakes of workflow documents that are valid. Pure.

An error of a new version prevents it: a keyword of the payload schema that is one letter from a known one, a template
that fails for requests without an optional field, and a title or summary that names a field that no request can have.
A warning does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal
from urllib.parse import unquote

from policies.documents.schema_graph import KEYWORDS, SchemaGraph
from policies.documents.title_template import Field, Function, parse_title
from policies.documents.workflow import WorkflowDocument
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to, tokens_of, value_at
from threada_site.kernel.templates import unguarded_reads_of

type Requirement = Literal["required", "optional", "absent"]

UNKNOWN_KEYWORD: Final = "unknown_keyword"
MAY_BE_MISSING: Final = "may_be_missing"
IGNORED: Final = "ignored"
_OPEN: Final = ("allOf", "anyOf", "oneOf", "if", "dependentSchemas", "patternProperties")
"""Keywords by which a schema says more about its properties than `requirement` reads."""
_MOST_REFERENCES: Final = 20


def version_errors(document: WorkflowDocument, pointer: str = "/spec") -> list[FieldError]:
    """Return the mistakes that prevent a new version. `pointer` is the place of the spec."""
    return [*_misspelt(document, pointer), *_input_reads(document, pointer), *_absent_fields(document, pointer)]


def version_warnings(document: WorkflowDocument, pointer: str = "/spec") -> list[FieldError]:
    """Return the mistakes that do not prevent a version."""
    graph = SchemaGraph(document.payload_schema)
    place = pointer_to(pointer, "payload_schema")
    found = []
    for schema, keyword in graph.unknown_keywords:
        if _meant(keyword) is None:
            detail = f"{keyword} is no keyword of JSON Schema: it is ignored."
            found.append(FieldError(pointer_to(place + schema, keyword), detail, UNKNOWN_KEYWORD))
    for schema in graph.nested_drafts:
        detail = "The draft of a schema inside of another is ignored: the draft of the whole schema counts."
        found.append(FieldError(pointer_to(place + schema, "$schema"), detail, IGNORED))
    return found


def requirement(schema: Any, path: Iterable[str]) -> Requirement | None:
    """Return whether each payload that fits `schema` has a value at `path`; None if its keywords do not tell."""
    found: Requirement = "required"
    node = schema
    for name in path:
        node = _resolved(node, schema)
        if not isinstance(node, Mapping) or any(keyword in node for keyword in _OPEN):
            return None
        properties = node.get("properties", {})
        if name not in properties:
            is_closed = False in (node.get("additionalProperties"), node.get("unevaluatedProperties"))
            return "absent" if is_closed else None
        if name not in node.get("required", ()):
            found = "optional"
        node = properties[name]
    return found


def reads_that_fail(
    reads: Iterable[tuple[str, tuple[str, ...]]], schema: Mapping[str, Any]
) -> Iterator[tuple[str, str, Requirement]]:
    """Yield pointer, path and requirement of the reads of `item` that fail for some request of a schema, or for all."""
    for pointer, path in reads:
        if path[:1] == ("payload",) and len(path) > 1:
            found = requirement(schema, path[1:])
            if found in ("optional", "absent"):
                yield pointer, ".".join(("item", *path)), found


def _input_reads(document: WorkflowDocument, pointer: str) -> Iterator[FieldError]:
    if document.request is None:
        return
    reads = unguarded_reads_of(document.request.input_template(), "item")
    for place, path, _ in reads_that_fail(reads, document.payload_schema):
        detail = f"{path} may be missing, and such a request fails. Write has({path}) ? {path} : …, or require it."
        yield FieldError(pointer_to(pointer, "request", "input") + place, detail, MAY_BE_MISSING)


def _absent_fields(document: WorkflowDocument, pointer: str) -> Iterator[FieldError]:
    """Yield fields of title, summary and related work items that no payload has. Missing ones leave these empty."""
    named = [(pointer_to(pointer, "title"), path) for path in _paths_of_title(document.title)]
    for name in ("summary", "related_by"):
        named += [
            (pointer_to(pointer, name, index), tuple(tokens_of(one)))
            for index, one in enumerate(getattr(document, name))
        ]
    for place, path in named:
        if requirement(document.payload_schema, path) == "absent":
            yield FieldError(place, f"No payload of this workflow has a field {'.'.join(path)}. Correct it.", "unknown")


def _paths_of_title(template: str) -> Iterator[tuple[str, ...]]:
    for part in parse_title(template) if template else ():
        arguments = part.arguments if isinstance(part, Function) else (part,)
        for field in arguments:
            if isinstance(field, Field) and field.name == "payload" and int not in map(type, field.path):
                yield tuple(map(str, field.path))


def _misspelt(document: WorkflowDocument, pointer: str) -> Iterator[FieldError]:
    for schema, keyword in SchemaGraph(document.payload_schema).unknown_keywords:
        meant = _meant(keyword)
        if meant is not None:
            place = pointer_to(pointer_to(pointer, "payload_schema") + schema, keyword)
            yield FieldError(place, f"{keyword} is no keyword of JSON Schema. Did you mean {meant}?", UNKNOWN_KEYWORD)


def _meant(keyword: str) -> str | None:
    """Return the known keyword that is one letter from `keyword`, or None."""
    return min((known for known in KEYWORDS if _is_one_letter_apart(keyword, known)), default=None)


def _is_one_letter_apart(one: str, other: str) -> bool:
    """Return True if one letter was left out, added or changed, or two neighbours were exchanged."""
    if abs(len(one) - len(other)) > 1:
        return False
    same = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    same = min(len(one), len(other)) if same is None else same
    rest, wanted = one[same:], other[same:]
    is_exchanged = rest[:2] == wanted[:2][::-1] and rest[2:] == wanted[2:]
    return one != other and (rest[1:] == wanted or rest == wanted[1:] or rest[1:] == wanted[1:] or is_exchanged)


def _resolved(node: Any, schema: Any) -> Any:
    """Return the schema that a local reference leads to."""
    for _ in range(_MOST_REFERENCES):
        if not isinstance(node, Mapping) or not isinstance(node.get("$ref"), str):
            return node
        if node.keys() - {"$ref", "title", "description"}:
            return None
        node = value_at(schema, unquote(node["$ref"][1:]))
    return None
