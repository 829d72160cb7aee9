"""JSON Schemas in the form that client generators understand."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from threada_site.api.openapi.descriptions import described
from threada_site.api.openapi.published_schemas import published

TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object"}, {"type": "object", "additionalProperties": True}),
        (
            {"type": ["object", "null"]},
            {"type": ["object", "null"], "additionalProperties": True},
        ),
        ({"type": "object", "additionalProperties": False}, {"type": "object", "additionalProperties": False}),
        ({"type": "array"}, {"type": "array", "items": {}}),
        ({"const": True}, {"type": "boolean", "enum": [True]}),
        ({"const": "Bearer"}, {"const": "Bearer"}),
        (
            {"type": ["object", "array"], "description": "Either."},
            {
                "description": "Either.",
                "anyOf": [{"type": "object", "additionalProperties": True}, {"type": "array", "items": {}}],
            },
        ),
        (
            {"type": "object", "properties": {"type": TEXT, "const": {"const": False}}},
            {"type": "object", "properties": {"type": TEXT, "const": {"type": "boolean", "enum": [False]}}},
        ),
        ({"type": "string", "default": {"type": "object"}}, {"type": "string", "default": {"type": "object"}}),
    ],
)
def test_forms(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert published(schema) == expected
    for value in (None, True, 1, "Bearer", [], [1], {}, {"type": "x", "const": False}):
        assert jsonschema_rs.is_valid(schema, value) == jsonschema_rs.is_valid(expected, value), value


def test_descriptions_of_declarations_are_kept() -> None:
    schema = {
        "properties": {"status": {"description": "Own."}, "version": TEXT, "unheard_of": TEXT, "data": {"$ref": "#"}}
    }
    found = described(schema)["properties"]
    assert found["status"]["description"] == "Own."
    assert found["version"]["description"]
    assert (found["unheard_of"], found["data"]) == (TEXT, {"$ref": "#"})
