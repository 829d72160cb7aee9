from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threada_site.kernel.json.canonical import canonical_bytes, canonical_sha256
from threada_site.kernel.json.differences import MOST_BYTES, MOST_CHANGES, difference


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, [{"pointer": "/a", "from": 1, "to": True}]),
        ({"a": None}, {}, [{"pointer": "/a", "from": None}]),
        ({}, {"a/b": {"~": 0}}, [{"pointer": "/a~1b", "to": {"~": 0}}]),
        ({"a": [1, 2]}, {"a": [1, 3, 4]}, [{"pointer": "/a/1", "from": 2, "to": 3}, {"pointer": "/a/2", "to": 4}]),
        (
            {"a": {"b": 1, "c": 2}},
            {"a": {"c": 3}},
            [{"pointer": "/a/b", "from": 1}, {"pointer": "/a/c", "from": 2, "to": 3}],
        ),
        ({"a": []}, {"a": {}}, [{"pointer": "/a", "from": [], "to": {}}]),
        (1, 2, [{"pointer": "", "from": 1, "to": 2}]),
    ],
)
def test_difference_contains_pointer_old_and_new_value(before: Any, after: Any, changes: Any) -> None:
    assert difference(before, after).as_json() == {"changes": changes, "omitted": 0}


def test_difference_is_bounded() -> None:
    found = difference({}, {f"{number:04}": number for number in range(1000)}).as_json()
    assert (len(found["changes"]), found["omitted"]) == (MOST_CHANGES, 1000 - MOST_CHANGES)
    long = "x" * (MOST_BYTES + 1)
    (change,) = difference({"a": "short"}, {"a": long}).as_json()["changes"]
    assert change["from"] == "short"
    assert change["to"] == {"omitted_bytes": MOST_BYTES + 3, "sha256": canonical_sha256(long)}
    worst = difference({}, {f"{number:04}": "x" * (MOST_BYTES - 2) for number in range(1000)})
    assert len(json.dumps(worst.as_json())) < 50_000


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, VALUES)
def test_difference_exists_exactly_if_the_bytes_differ(before: Any, after: Any) -> None:
    found = difference(before, after)
    assert bool(found.changes) == (canonical_bytes(before) != canonical_bytes(after))
    assert len({change.pointer for change in found.changes}) == len(found.changes)
