from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threada_site.kernel.characters import has_unseen
from workitems.display.titles import MAX_TITLE, default_title, one_line, title_from

ITEM = uuid.UUID("0199c0de-0000-7000-8000-00000000002a")


def titled(template: str, payload: Any, **more: str) -> str:
    return title_from(template, payload, item_id=ITEM, workflow="payment_run", **more)


@pytest.mark.parametrize(
    ("template", "payload", "title"),
    [
        ("Pay ${item.payload.vendor}", {"vendor": "Hooli"}, "Pay Hooli"),
        ("Pay ${item.payload.v.w}", {"v": {"w": 5}}, "Pay 5"),
        ("Pay ${item.payload.v[1]} now", {"v": ["a", "b"]}, "Pay b now"),
        ("${item.payload['due day']}", {"due day": "soon"}, "soon"),
        ("A ${item.payload.v} b", {"v": 5.0}, "A 5 b"),
        ("${money(item.payload.a, item.payload.c)}", {"a": 6793661, "c": "EUR"}, "EUR 67,936.61"),
        ("${money(item.payload.a, 'JPY')}", {"a": 6793661}, "JPY 6,793,661"),
        ("${money(item.payload.a, 'KWD')}", {"a": -6793661}, "-KWD 6,793.661"),
        ("${money(item.payload.a, 'EUR')}", {"a": 5.0}, "EUR 0.05"),
        ("${money(item.payload.a, item.payload.c)}", {"a": 67, "c": "XYZ1"}, "67 minor units XYZ1"),
        ("${money(item.payload.a, item.payload.c)}", {"a": "67", "c": "EUR"}, "67 minor units EUR"),
        ("${money(item.payload.a, 'EUR')}", {"a": 10**24}, f"{10**24} minor units EUR"),
        ("${number(item.payload.a)}", {"a": 1234567.25}, "1,234,567.25"),
        ("${percent(item.payload.a)}", {"a": 0.125}, "12.5%"),
        ("${date(item.payload.a)}", {"a": "2026-11-27"}, "27 Nov 2026"),
        ("${date(item.payload.a)}", {"a": "2026-11-27T23:00:00Z"}, "27 Nov 2026"),
        ("${date(item.payload.a)}", {"a": "soon"}, "soon"),
        ("${item.workflow} ${item.external_ref}", {}, "payment_run R-7"),
        ("${item.payload.yes}", {"yes": True}, "yes"),
    ],
)
def test_a_title_contains_values_of_the_payload(template: str, payload: Any, title: str) -> None:
    assert titled(template, payload, external_ref="R-7") == title


@pytest.mark.parametrize(
    "payload", [{}, {"v": None}, {"v": {"w": 1}}, {"v": [1]}, {"v": ""}, [], "v", None, {"v": "  \n"}]
)
def test_unknown_fields_and_those_without_a_scalar_are_empty(payload: Any) -> None:
    assert titled("Pay ${item.payload.v} now", payload) == ""
    assert titled("Pay ${item.payload.v} for ${item.workflow}", payload) == "Pay for payment_run"
    assert titled("Pay", payload) == "Pay"


def test_characters_that_hide_or_turn_text_are_escaped() -> None:
    hostile = "ACME \u202eLTD\u202c\u200b\x00\u2028\nnew\tline"
    title = titled("Pay ${item.payload.v}", {"v": hostile})
    assert title == "Pay ACME [U+202E]LTD[U+202C][U+200B][U+0000][U+2028] new line"


def test_a_long_value_displaces_no_other_value() -> None:
    """The amount behind a vendor of 10,000 characters stays readable."""
    payload = {"v": "A" * 10_000, "w": "B" * 10_000, "short": "Hooli", "a": 6793661}
    template = "Pay ${item.payload.v} and ${item.payload.w} ${item.payload.short} ${money(item.payload.a, 'EUR')}"
    title = titled(template, payload)
    assert MAX_TITLE - 3 < len(title) <= MAX_TITLE
    assert title.endswith(" Hooli EUR 67,936.61")
    assert re.search("Pay A{20,}… and B{20,}… ", title)


def test_the_default_title_is_the_workflow_and_the_end_of_the_id() -> None:
    assert default_title("payment_run", ITEM) == "Payment run 00001a"
    assert default_title("payment_run", ITEM, name="Payments \u202e") == "Payments [U+202E] 00001a"
    assert len(default_title("x", ITEM, name="n" * 200)) == MAX_TITLE


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from("abc"), _JSON))
def test_any_payload_makes_one_short_line(payload: Any) -> None:
    template = "${item.payload.a} x ${money(item.payload.a, item.payload.b)} ${date(item.payload.c)}${percent(item.payload.c)}${number(item.payload.b)}"
    title = titled(template, payload)
    assert len(title) <= MAX_TITLE
    assert not has_unseen(title)
    assert "\n" not in title
    assert one_line(title) == title
