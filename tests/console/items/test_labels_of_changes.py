"""Labels of payload members where pages compare values: only those of the schema, never names of a requester."""

from __future__ import annotations

from typing import Any

from workitems.admin.contents import formatted_and_exact, labelled
from workitems.display.fields import fields

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "amount_minor": {"type": "integer", "title": "Amount", "x-threada": {"format": "money", "currency": "EUR"}},
        "lines": {
            "type": "array",
            "title": "Lines",
            "items": {"type": "object", "properties": {"text": {"type": "string", "title": "Text"}}},
        },
    },
}


def test_members_have_the_labels_of_the_schema_and_nested_ones_their_path() -> None:
    rows = fields(SCHEMA, {"amount_minor": 5, "lines": [{"text": "paper"}]})
    assert [(label, path) for _row, label, path in labelled(rows)] == [
        ("Amount", "payload.amount_minor"),
        ("Lines", "payload.lines"),
        ("payload.lines.#1", "payload.lines.#1"),
        ("Text (payload.lines.#1.text)", "payload.lines.#1.text"),
    ]


def test_a_name_that_the_schema_lacks_never_reads_like_a_label() -> None:
    rows = fields(SCHEMA, {"Amount": 5, "lines": [{"Text": "paper", "Text (payload.lines.#1.text)": "x"}]})
    labels = [label for _row, label, _path in labelled(rows)]
    assert labels == [
        "Lines",
        "payload.lines.#1",
        "payload.lines.#1.Text",
        'payload.lines.#1."Text (payload.lines.#1.text)"',
        "payload.Amount",
    ]


def test_a_formatted_value_is_followed_by_the_exact_one() -> None:
    (row,) = fields(SCHEMA, {"amount_minor": 5})
    assert formatted_and_exact(row, "5") == "EUR 0.05 (5)"
