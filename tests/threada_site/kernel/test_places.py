"""Line and column in a document of a position inside one of its texts."""

from __future__ import annotations

import pytest

from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.errors import FieldError


def place(text: str, pointer: str, sought: str) -> tuple[int, int] | None:
    """Return the position in the document of a line and column in its value at `pointer`."""
    (document,) = load_documents(text, source="document")
    value = document.value
    for token in pointer.split("/")[1:]:
        value = value[int(token)] if isinstance(value, list) else value[token]
    before = value[: value.index(sought)]
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return document.place_within(pointer, line, column)


@pytest.mark.parametrize(
    "text",
    [
        "rules:\n  - {id: a, when: item.x == HERE}\n",
        "rules:\n  - id: a\n    when:   'item.name == ''x'' && HERE'\n",
        'rules:\n  - when: "item.name == \\"x\\" && HERE"\n',
        '{"rules": [{"when": "true\\\\ && HERE"}]}',
        "rules:\n  - when: |\n      item.x == 1\n      && HERE\n    id: a\n",
        "rules:\r\n  - when: >-\r\n      item.x == 1\r\n      && HERE\r\n    id: a\r\n",
        "rules:\n  - when: |\n      item.x == 1\n\n      && HERE\n",
        "rules:\n  - when: item.x == 1\n      && HERE\n    id: a\n",
        'rules:\n  - when: "item.x == 1\n      && HERE"\n',
        "# über\nrules: [{when: 'ü == HERE'}]\n",
    ],
)
def test_position_is_where_the_text_is(text: str) -> None:
    lines = text.replace("\r\n", "\n").split("\n")
    line = next(number for number, content in enumerate(lines, start=1) if "HERE" in content)
    assert place(text, "/rules/0/when", "HERE") == (line, lines[line - 1].index("HERE") + 1)


def test_position_is_none_if_the_text_does_not_show_it() -> None:
    assert place('rules:\n  - when: "\\x41 == HERE"\n', "/rules/0/when", "HERE") is None


def test_position_of_an_error_is_mapped_into_the_document() -> None:
    (document,) = load_documents("rules:\n  - when: 'a == b'\n", source="document")
    inside = FieldError("/rules/0/when", "payments: line 1, column 6: b is unknown", "invalid_expression", 1, 6)
    assert document.located(inside) == FieldError(
        "/rules/0/when", "payments: b is unknown", "invalid_expression", 2, 17
    )
    assert document.located(FieldError("/rules/0/id", "is missing")) == FieldError(
        "/rules/0/id", "is missing", "invalid", 2, 5
    )
    beyond = FieldError("/rules/0/when", "line 9, column 6: odd", "invalid_expression", 9, 6)
    assert document.located(beyond).as_json() == {
        "pointer": "/rules/0/when", "detail": "line 9, column 6: odd", "code": "invalid_expression", "line": 2,
        "column": 5,
    }  # fmt: skip
