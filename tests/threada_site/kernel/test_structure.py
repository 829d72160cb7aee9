"""Checks of the structure of documents: long lists stay cheap, and an error without a sentence still refuses."""

from __future__ import annotations

from typing import Any

import pytest

from threada_site.kernel.documents.structure import Structure


def found(schema: dict[str, Any], value: Any) -> list[tuple[str, str, str]]:
    return [(error.pointer, error.detail, error.code) for error in Structure(schema).check(value, "/spec").found]


@pytest.mark.parametrize("element", ["a", {"b": 1, "c": 2}, 2**70])
def test_element_that_is_listed_twice_is_named(element: Any) -> None:
    schema = {"type": "array", "uniqueItems": True}
    assert found(schema, ["other", element, element]) == [
        ("/spec/2", f"{str(element)[:40]!r} is listed twice.", "repeated")
    ]


def test_error_behind_the_part_of_a_list_that_is_checked_refuses_the_document() -> None:
    schema = {"type": "array", "items": {"type": "string"}}
    assert found(schema, ["text"] * 10_001) == []
    assert found(schema, ["text"] * 10_001 + [1]) == [("/spec", "The document is invalid.", "invalid")]
