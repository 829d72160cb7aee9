"""Fields of a payload schema as rows of a form, and back. Pure.

A row describes a property by name, label, type and choices. Everything that a row cannot express is kept as it is:
other properties, other keywords of a property, and other keywords of the schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policies.documents.annotations import KEYWORD
from threada_site.kernel.documents.key_order import in_order_of

CHOICE: Final = "choice"
MONEY: Final = "money"
_BY_TYPE: Final[dict[str, dict[str, Any]]] = {
    "text": {"type": "string"},
    CHOICE: {"type": "string", "enum": []},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "date-time": {"type": "string", "format": "date-time"},
    "email": {"type": "string", "format": "email"},
    "uri": {"type": "string", "format": "uri"},
    MONEY: {"type": "integer", KEYWORD: {"format": "money"}},
    "percent": {"type": "number", KEYWORD: {"format": "percent"}},
}
TYPES: Final = tuple(_BY_TYPE)
_OWN: Final = ("type", "format", "enum", KEYWORD)
_BEYOND: Final = frozenset({"$ref", "const", "oneOf", "anyOf", "allOf", "not", "if", "items", "properties"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRow:
    """One property. `was` is its name in the schema that is edited; "" for a new one."""

    key: str
    label: str = ""
    type: str = "text"
    is_required: bool = False
    choices: tuple[str, ...] = ()
    currency: str = ""
    was: str = ""


def rows_of(schema: Mapping[str, Any]) -> list[FieldRow]:
    """Return the properties that rows can express, in their order."""
    required = _required(schema)
    rows = []
    for key, node in _properties(schema).items():
        kind = _type_of(node)
        if kind is not None:
            currency = node[KEYWORD].get("currency", "") if kind == MONEY else ""
            rows.append(
                FieldRow(
                    key=key,
                    label=str(node.get("title", "")),
                    type=kind,
                    is_required=key in required,
                    choices=tuple(node["enum"]) if kind == CHOICE else (),
                    currency=currency,
                    was=key,
                )
            )
    return rows


def kept_by(schema: Mapping[str, Any]) -> list[str]:
    """Return what rows cannot express: names of properties, and keywords of the schema."""
    names = [key for key, node in _properties(schema).items() if _type_of(node) is None]
    return [*names, *(key for key in schema if key not in ("type", "properties", "required", "additionalProperties"))]


def with_rows(schema: Mapping[str, Any], rows: Sequence[FieldRow]) -> dict[str, Any]:
    """Return `schema` with the properties of `rows` in their order, and those that no row expresses at their places."""
    old = _properties(schema)
    places = {key: place for place, key in enumerate(old)}
    kept = [(places[key], key, node) for key, node in old.items() if _type_of(node) is None]
    written = [(row.key, _written(row, old.get(row.was, {}))) for row in rows]
    for place, key, node in kept:
        written.insert(min(place, len(written)), (key, node))
    required = {row.key for row in rows if row.is_required} | {key for _, key, _ in kept if key in _required(schema)}
    named = [key for key in _required(schema) if key in required]
    changed = {
        "type": "object",
        **{key: value for key, value in schema.items() if key not in ("properties", "required")},
        "required": [*named, *(key for key, _ in written if key in required and key not in named)],
        "properties": dict(written),
    }
    if not changed["required"] and "required" not in schema:
        del changed["required"]
    return {key: changed[key] for key in dict.fromkeys([*schema, *changed]) if key in changed}


def _written(row: FieldRow, before: Any) -> dict[str, Any]:
    """Return the schema of a row. Other keywords of the property stay, unless its type changes."""
    known = dict(before) if isinstance(before, Mapping) and _type_of(before) == row.type else {}
    own = {key: value for key, value in _BY_TYPE[row.type].items() if key in _OWN}
    if row.type == CHOICE:
        own["enum"] = list(row.choices)
    if row.type == MONEY:
        own[KEYWORD] = {"format": "money", "currency": row.currency}
    label = {"title": row.label} if row.label else {}
    others = {key: value for key, value in known.items() if key not in (*_OWN, "title")}
    return in_order_of({**label, **own, **others}, before)


def _type_of(node: Any) -> str | None:
    """Return the type of row that expresses a property, or None."""
    if not isinstance(node, Mapping) or _BEYOND & node.keys():
        return None
    note = node.get(KEYWORD)
    if "enum" in node:
        is_choice = node.get("type") == "string" and all(isinstance(value, str) for value in node["enum"])
        return CHOICE if is_choice and note is None and "format" not in node else None
    if isinstance(note, Mapping) and note.get("format") == "money":
        is_plain = node.get("type") == "integer" and isinstance(note.get("currency"), str)
        return MONEY if is_plain and note.keys() <= {"format", "currency"} else None
    own = {key: value for key, value in node.items() if key in _OWN}
    return next((name for name, wanted in _BY_TYPE.items() if wanted == own), None)


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


def _required(schema: Mapping[str, Any]) -> Iterable[str]:
    found = schema.get("required")
    return found if isinstance(found, list) else ()
