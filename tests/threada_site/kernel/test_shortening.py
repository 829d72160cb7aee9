from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threada_site.kernel.json.truncate import LONGEST_TEXT, MOST_CHARACTERS, MOST_PARTS, shorten

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)


@given(JSON)
def test_small_value_is_not_shortened(value: Any) -> None:
    shown = shorten(value)
    assert (shown.value, shown.is_cut) == (value, False)


def test_long_text_is_truncated_with_a_note() -> None:
    shown = shorten({"a": "x" * (LONGEST_TEXT + 7), "b": "y"})
    assert shown.is_cut
    assert shown.value == {"a": "x" * LONGEST_TEXT + "… (7 more characters)", "b": "y"}


@pytest.mark.parametrize("value", [list(range(MOST_PARTS + 5)), {str(n): n for n in range(MOST_PARTS + 5)}])
def test_many_parts_are_truncated_with_a_note(value: Any) -> None:
    shown = shorten(value)
    assert shown.is_cut
    assert "(5 more entries)" in str(shown.value)
    assert len(shown.value) == MOST_PARTS + 1


def test_all_texts_share_one_budget() -> None:
    shown = shorten([{"text": "x" * LONGEST_TEXT} for _ in range(20)])
    assert shown.is_cut
    assert len(str(shown.value)) < MOST_CHARACTERS + 1000
