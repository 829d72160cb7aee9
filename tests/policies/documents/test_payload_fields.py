"""Rows of the workflow builder: what they express changes, everything else stays."""

from __future__ import annotations

from typing import Any

import pytest

from policies.documents.payload_fields import TYPES, FieldRow, kept_by, rows_of, with_rows

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["vendor", "address", "amount"],
    "properties": {
        "vendor": {"type": "string", "title": "Vendor", "maxLength": 200, "minLength": 1},
        "address": {"type": "object", "properties": {"city": {"type": "string"}}},
        "amount": {"type": "integer", "minimum": 1, "x-threada": {"format": "money", "currency": "EUR"}},
        "priced": {"type": "integer", "x-threada": {"format": "money", "currency": {"pointer": "/currency"}}},
        "kind": {"type": "string", "enum": ["a", "b"], "description": "Kind of it."},
    },
    "additionalProperties": False,
    "if": {"required": ["kind"]},
}


def test_unchanged_rows_leave_the_schema_as_it_is() -> None:
    assert with_rows(SCHEMA, rows_of(SCHEMA)) == SCHEMA
    assert list(with_rows(SCHEMA, rows_of(SCHEMA))["properties"]) == list(SCHEMA["properties"])
    assert kept_by(SCHEMA) == ["address", "priced", "if"]


def test_a_changed_row_keeps_other_keywords_unless_its_type_changes() -> None:
    vendor, amount, kind = rows_of(SCHEMA)
    renamed = FieldRow(key="supplier", label="Supplier", type="text", was=vendor.key)
    dated = FieldRow(key="amount", type="date", was=amount.key)
    changed = with_rows(SCHEMA, [kind, renamed, dated])
    assert changed["properties"]["supplier"] == {
        "title": "Supplier",
        "type": "string",
        "maxLength": 200,
        "minLength": 1,
    }
    assert changed["properties"]["amount"] == {"type": "string", "format": "date"}
    assert changed["required"] == ["address"]
    assert [name for name in changed["properties"] if name not in ("address", "priced")] == [
        "kind",
        "supplier",
        "amount",
    ]


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_is_read_as_it_was_written(kind: str) -> None:
    choices, currency = ("x", "y") if kind == "choice" else (), "EUR" if kind == "money" else ""
    row = FieldRow(key="a", label="A", type=kind, is_required=True, choices=choices, currency=currency, was="a")
    assert rows_of(with_rows({"type": "object"}, [row])) == [row]


@pytest.mark.parametrize(
    "schema", [{}, {"properties": 7, "required": "x"}, {"properties": {"a": True, "b": {"enum": [1]}}}]
)
def test_unusual_schemas_are_kept(schema: dict[str, Any]) -> None:
    assert rows_of(schema) == []
