"""JSON values on pages: the caption of every value is the path to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from threada_site.admin.fields import fields
from threada_site.kernel.json.pointers import dotted
from workitems.display.fields import fields as rows_of
from workitems.display.html import rows_html

DEEP: dict[str, Any] = {
    "creditor": {"bank": {"branch": {"address": {"city": "Bern"}, "iban": "CH93"}, "bic": "X"}, "name": "Hooli"},
    "debtor": {"bank": {"branch": {"address": {"city": "Wien"}, "iban": "AT61"}}},
}
_CAPTION = re.compile(r'<dt>(?:<span[^>]*>[^<]*</span> )?<code class="t-name">(.*?)</code>')


def captions(html: str) -> list[str]:
    return [unescape(re.sub("<[^>]*>", "", found)) for found in _CAPTION.findall(html)]


def paths(value: Any, path: str = "") -> Iterator[str]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        here = dotted(path, name)
        yield here
        yield from paths(part, here)


def test_values_after_a_deep_group_have_the_path_of_their_own_parent() -> None:
    found = captions(fields(DEEP))
    assert found == list(paths(DEEP))
    assert found[4:8] == [
        "creditor.bank.branch.address.city", "creditor.bank.branch.iban", "creditor.bank.bic", "creditor.name",
    ]  # fmt: skip


def test_values_with_labels_have_their_path_too() -> None:
    schema = {
        "properties": {
            "creditor": {"title": "Creditor", "properties": {"bank": {"properties": {"bic": {"title": "BIC"}}}}}
        }
    }
    html = rows_html(rows_of(schema, DEEP))
    assert '<span title="bic">BIC</span> <code class="t-name">creditor.bank.bic</code>' in html
    assert '<span title="creditor">Creditor</span></dt>' in html
    assert sorted(captions(html)) == sorted(path for path in paths(DEEP) if path != "creditor")


JSON = st.recursive(
    st.none() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.sampled_from("ab"), inner, max_size=3)
    ),
    max_leaves=30,
)


@settings(max_examples=examples(200))
@given(st.dictionaries(st.text('ab.#1"', max_size=4), JSON, min_size=1, max_size=3))
def test_no_two_values_have_the_same_caption(value: dict[str, Any]) -> None:
    found = list(paths(value))
    assert len(set(found)) == len(found)
    shown = fields(value)
    assert shown.count("<dt>") == len(found)


@settings(max_examples=examples(200))
@given(
    st.lists(st.text(max_size=200) | st.integers(0, 20), max_size=6),
    st.lists(st.text(max_size=200) | st.integers(0, 20), max_size=6),
)
def test_different_places_have_different_paths_of_bounded_length(one: list[Any], other: list[Any]) -> None:
    assert (dotted("", *one) == dotted("", *other)) == (one == other)
    assert len(dotted("", *one)) <= 240


def test_a_long_path_is_shortened_in_the_middle() -> None:
    long = dotted("", *["x" * 100] * 5, "iban")
    assert long.startswith("x" * 80 + "…")
    assert long.endswith("x.iban")
    assert dotted("", "a", 0, "b c", "1", "content-type") == 'a.#1."b c"."1".content-type'
