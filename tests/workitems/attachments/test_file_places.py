"""Places of files in payloads, also in payloads that are made to take long."""

from __future__ import annotations

from time import thread_time
from typing import Any

import pytest

from tests.workitems.attachments.files import FILE
from workitems.attachments.file_places import file_places

SCHEMA: dict[str, Any] = {
    "properties": {
        "amount": {"type": "integer"},
        "invoice": FILE,
        "rows": {"type": "array", "items": {"type": "array", "items": FILE}},
        "pair": {"prefixItems": [FILE, {}], "items": {"properties": {"file": FILE}}},
        "tree": {"properties": {"file": FILE, "below": {"$ref": "#/properties/tree"}}},
    }
}


def found(payload: Any) -> list[str]:
    return [pointer for pointer, _container, _key, _annotation in file_places(SCHEMA, payload)]


def test_places_follow_the_schema() -> None:
    payload = {
        "invoice": 1,
        "amount": 5,
        "rows": [[1, None], [2]],
        "pair": [1, 2, {"file": 3}, {"file": 4, "other": 5}],
        "tree": {"below": {"below": {"file": 6}}},
        "other": [{"file": 7}],
    }
    assert found(payload) == [
        "/invoice",
        "/pair/0",
        "/rows/0/0",
        "/rows/1/0",
        "/pair/2/file",
        "/pair/3/file",
        "/tree/below/below/file",
    ]


@pytest.mark.parametrize(
    "payload",
    [{"other": [0] * 400_000}, {"rows": [0] * 400_000}, {"rows": [[]] * 300_000}, {"pair": [None, *[{}] * 300_000]}],
    ids=["unknown", "scalars", "lists", "objects"],
)
def test_time_grows_with_the_payload_only(payload: Any) -> None:
    """A mebibyte took half a minute when its elements were queued one by one; it takes one or two seconds."""
    before = thread_time()
    assert found(payload) == []
    assert thread_time() - before < 10
