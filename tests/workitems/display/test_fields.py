"""Rows of payloads: labels, order and formats of the schema, and nothing left out or imitated."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from policies.documents.payload_schema import check_schema
from workitems.display.fields import Row, fields, label_at, people_in, readable, summary
from workitems.display.formats import locale_named
from workitems.display.html import rows_html
from workitems.display.rule_sentences import rule_sentence

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "vendor": {"title": "Vendor", "description": "Legal name"},
        "amount_minor": {"x-threada": {"format": "money", "currency": {"pointer": "/currency"}}},
        "currency": True,
        "lines": {"items": {"$ref": "#/$defs/line"}},
        "kind": {"oneOf": [{"const": "a", "title": "Alpha"}, {"const": "b"}]},
    },
    "$defs": {"line": {"properties": {"iban": {"title": "IBAN"}, "next": {"$ref": "#/$defs/line"}}}},
    "if": {"properties": {"kind": {"const": "a"}}},
    "then": {"properties": {"why": {"title": "Reason"}}},
}


def shown(annotation: dict[str, Any], value: Any, *, locale: str = "en", root: Any = None, **schema: Any) -> str:
    described = {"properties": {"v": {"x-threada": annotation, **schema} if annotation else schema}}
    rows = fields(described, {"v": value, **(root or {})}, locale_named(locale), ZoneInfo("Europe/Berlin"))
    return rows[0].text


def test_rows_have_labels_and_the_order_of_the_schema() -> None:
    payload = {
        "Vendor": "imitation", "lines": [{"iban": "DE", "next": {"iban": "FR"}}, 5], "why": "x", "kind": "a",
        "currency": "EUR", "amount_minor": 6793661, "vendor": "Hooli",
    }  # fmt: skip
    rows = fields(SCHEMA, payload)
    assert [(row.name, row.label) for row in rows] == [
        ("vendor", "Vendor"), ("amount_minor", "Amount"), ("currency", "Currency"), ("lines", "Lines"),
        ("kind", "Kind"), ("why", "Reason"), ("Vendor", ""),
    ]  # fmt: skip
    by_name = {row.name: row for row in rows}
    assert (by_name["amount_minor"].text, by_name["kind"].text) == ("EUR 67,936.61", "Alpha")
    assert not by_name["Vendor"].is_described
    (first, second) = by_name["lines"].rows
    assert [row.label for row in first.rows] == ["IBAN", "Next"]
    assert first.rows[1].rows[0].label == "IBAN"
    assert second.value == 5


@pytest.mark.parametrize(
    ("annotation", "value", "locale", "text"),
    [
        ({"format": "money", "currency": "EUR"}, 6793661, "en", "EUR 67,936.61"),
        ({"format": "money", "currency": "EUR"}, 6793661, "de", "EUR 67.936,61"),
        ({"format": "money", "currency": "JPY"}, 6793661, "en", "JPY 6,793,661"),
        ({"format": "money", "currency": "EUR"}, "6793661", "en", ""),
        ({"format": "money", "currency": "EUR"}, 67.5, "en", ""),
        ({"format": "money", "currency": "EUR"}, True, "en", ""),
        ({"format": "money", "currency": "EUR"}, 10**30, "en", ""),
        ({"format": "money", "currency": {"pointer": "/c"}}, 5, "en", ""),
        ({"format": "percent"}, 0.12345, "de", "12,345\u00a0%"),
        ({"format": "percent"}, "0.1", "en", ""),
        ({"format": "number"}, 1234567, "de", "1.234.567"),
        ({"format": "duration"}, 93784, "en", "1 day 2 hours 3 minutes 4 seconds"),
        ({"format": "duration"}, "PT90M", "en", "1 hour 30 minutes"),
        ({"format": "duration"}, "soon", "en", ""),
        ({"format": "duration"}, -5, "en", ""),
        ({"format": "bytes"}, 1500000, "en", "1.5 MB"),
        ({"format": "person"}, "ada", "en", ""),
    ],
)
def test_values_are_formatted_if_they_have_the_expected_form(
    annotation: Any, value: Any, locale: str, text: str
) -> None:
    assert shown(annotation, value, locale=locale) == text


def test_dates_are_in_the_language_and_zone_of_the_reader() -> None:
    assert shown({}, "2026-01-02", format="date") == "January 2, 2026"
    assert shown({}, "2026-01-02", format="date", locale="de") == "2. Januar 2026"
    assert shown({}, "2026-01-02T23:30:00Z", format="date-time", locale="de").startswith("3. Januar 2026, 00:30:00")
    for odd in ("2026-13-02", "9999-12-31T23:59:59Z", "x" * 100, "2026-01-02T10:00:00"):
        shown({}, odd, format="date-time")


@pytest.mark.parametrize(
    ("annotation", "place"),
    [
        ("money", ""), ({}, "/format"), ({"format": "euro"}, "/format"), ({"format": "percent", "x": 1}, "/x"),
        ({"format": "money"}, "/currency"), ({"format": "money", "currency": "eur"}, "/currency"),
        ({"format": "money", "currency": "ZZZ"}, "/currency"), ({"format": "money", "currency": {"pointer": "c"}}, "/currency"),
        ({"format": "money", "currency": {"pointer": "/c", "x": 1}}, "/currency"),
    ],
)  # fmt: skip
def test_errors_of_an_annotation_have_pointers(annotation: Any, place: str) -> None:
    schema = {"properties": {"a": {"x-threada": annotation}, "x-threada": {"type": "string"}}}
    assert [error.pointer for error in check_schema(schema)] == [f"/properties/a/x-threada{place}"]


@pytest.mark.parametrize("name", ["money", "percent", "number", "duration", "bytes", "person", "file"])
def test_known_formats_are_accepted(name: str) -> None:
    more = {"currency": {"pointer": "/currency"}} if name == "money" else {}
    kind = {"type": "object"} if name == "file" else {}
    assert check_schema({"items": {**kind, "x-threada": {"format": name, **more}}}) == []


def test_a_summary_is_the_fields_that_a_workflow_names() -> None:
    rows = fields(SCHEMA, {"vendor": "Hooli", "lines": [{"iban": "DE"}], "x": 1})
    assert [row.pointer for row in summary(rows, ["/lines/0/iban", "/vendor", "/nothing"])] == [
        "/lines/0/iban",
        "/vendor",
    ]
    assert [row.pointer for row in summary(rows, [])] == ["/vendor"]
    assert label_at(SCHEMA, "/vendor") == "Vendor"
    assert people_in({"properties": {"p": {"x-threada": {"format": "person"}}}}, {"p": "ada", "q": "bob"}) == {"ada"}
    assert (readable("amount_minor"), readable("dueDate"), readable("IBAN"), readable("minor")) == (
        "Amount minor", "Due date", "IBAN", "Minor",
    )  # fmt: skip
    (unformatted,) = fields({"properties": {"amount_minor": {}}}, {"amount_minor": 2_000_000})
    assert (unformatted.label, unformatted.text) == ("Amount minor", "")


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("true", "in every case."),
        (
            "ctx.action == 'pay' && item.payload.amount_minor > 1000000",
            "because the action is pay and “Amount” is more than EUR 10,000.00 (here EUR 67,936.61).",
        ),
        ("item.payload.vendor in lists.sanctioned_vendors", "because “Vendor” is one of the list sanctioned_vendors."),
        ("item.payload.vendor == 'a && b'", "because “Vendor” is a && b."),
        ("a || b && c", "because “a || b && c” is true."),
        ("", "asks for an approval."),
    ],
)  # fmt: skip
def test_a_rule_is_one_sentence(condition: str, said: str) -> None:
    rule = {"rule": "large", "policy": "payments", "effect": "require_approval"}
    payload = {"vendor": "Hooli", "amount_minor": 6793661, "currency": "EUR"}
    sentence = rule_sentence(rule, condition, schema=SCHEMA, payload=payload)
    assert sentence.startswith("The rule large of payments asks for an approval")
    assert sentence.endswith(said)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.sampled_from(["vendor", "amount_minor", "lines"]), inner, max_size=4),
)  # fmt: skip


@given(st.dictionaries(st.text() | st.sampled_from(["vendor", "amount_minor", "lines", "kind"]), _JSON, max_size=5))
def test_no_value_is_left_out(payload: Any) -> None:
    rows = fields(SCHEMA, payload, Locale("de"), UTC)
    assert _rebuilt(rows, payload) == payload
    assert "<script" not in rows_html(rows)


def _rebuilt(rows: tuple[Row, ...], like: Any) -> Any:
    if isinstance(like, list):
        return [_rebuilt(row.rows, row.value) for row in rows] if rows else []
    if isinstance(like, dict):
        return {row.name: _rebuilt(row.rows, row.value) for row in rows}
    return like
