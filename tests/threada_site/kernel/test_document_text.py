"""Documents written as YAML are read back unchanged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.documents.writer import write_document
from threada_site.kernel.json.strict import MAX_INTEGER

_ODD = st.sampled_from(
    ["yes", "No", "on", "null", "~", "1e5", "0o17", "0x1f", "1_000", "12:30:45", "2026-01-01", ".inf", "=", "<<", "- a",
     "a: b", "a #b", "#", "!tag", "&a", "*a", "? x", "|", ">", "%", "@", "`", "{", "[", "'", '"', "\\", "\n", "a\n", "a\nb",
     "a\n\nb\n\n", " a\nb", "a \nb", "\ta\nb", "a\n b", "---", "...", "--- a", "\u0085", "\u2028", "\ufeff", "\U0001f600"]
)  # fmt: skip
_TEXTS = st.one_of(_ODD, st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))
_VALUES = st.recursive(
    st.one_of(
        _TEXTS,
        st.booleans(),
        st.none(),
        st.integers(-MAX_INTEGER, MAX_INTEGER),
        st.floats(-1e15, 1e15),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=examples(600))
@given(value=st.dictionaries(_TEXTS, _VALUES, max_size=4))
def test_written_yaml_is_read_back_unchanged(value: dict[str, Any]) -> None:
    (document,) = load_documents(write_document(value), source="x")
    assert document.value == value
    assert repr(document.value) == repr(value)


def test_multi_line_conditions_stay_readable() -> None:
    assert write_document({"when": "a == 1\n  && b == 2\n", "id": "x"}) == ("when: |\n  a == 1\n    && b == 2\nid: x\n")


@pytest.mark.parametrize("number", [1e15, 5e-324, 1e-7, -0.0, 0.1, 1.5])
def test_doubles_keep_their_bits(number: float) -> None:
    (document,) = load_documents(write_document({"n": number}), source="x")
    assert repr(document.value["n"]) == repr(number)
