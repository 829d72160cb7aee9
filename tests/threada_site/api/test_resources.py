"""Resources derive representation and JSON Schema from one list of fields."""

from __future__ import annotations

from typing import Any

from threada_site.api.resources.field_types import COUNT, INSTANT, MAYBE_TEXT, TEXT, array, inline, nested
from threada_site.api.resources.resource import Resource, field, given
from threada_site.kernel import clock


class Shelf:
    """An object to represent."""

    slug = "a"
    made_at = clock.now()
    note = ""
    books: tuple[Any, ...] = ()


BOOK = Resource("Book", field("pages", COUNT, lambda pages: pages))
SHELF = Resource(
    "Shelf",
    field("shelf_id", TEXT, "slug", description="Its place."),
    field("made_at", INSTANT),
    field("note", MAYBE_TEXT),
    field("books", array(nested(BOOK)), is_detail=True),
    field("first", inline(field("pages", COUNT, len)), "books"),
    field("is_full", TEXT, lambda shelf, limit: str(len(shelf.books) >= limit)),
    given("capacity", COUNT),
)


def test_fields_are_read_from_attributes_functions_and_context() -> None:
    shelf = Shelf()
    shelf.books = (100, 200)
    made_at = clock.rfc3339(Shelf.made_at)
    brief = {"shelf_id": "a", "made_at": made_at, "note": None, "first": {"pages": 2}, "is_full": "True", "capacity": 7}
    assert SHELF.represent(shelf, limit=2, capacity=7) == brief
    whole = SHELF.represent_whole(shelf, limit=2, capacity=7)
    assert whole == {**brief, "books": [{"pages": 100}, {"pages": 200}]}
    assert list(whole) == ["shelf_id", "made_at", "note", "books", "first", "is_full", "capacity"]


def test_schema_lists_the_fields_and_requires_all_but_details() -> None:
    assert list(SHELF.schema["properties"]) == ["shelf_id", "made_at", "note", "books", "first", "is_full", "capacity"]
    assert SHELF.schema["required"] == ["shelf_id", "made_at", "note", "first", "is_full", "capacity"]
    assert SHELF.schema["properties"]["shelf_id"] == {"type": "string", "description": "Its place."}
    assert SHELF.schema["properties"]["books"] == {"type": "array", "items": BOOK}
