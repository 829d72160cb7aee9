"""Text diff in two columns."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from threada_site.admin.text_diff import Row, Side, diff_rows, parents_of


def text_of(rows: list[Row], side: str) -> str:
    sides: list[Side | None] = [getattr(row, side) for row in rows]
    return "\n".join("".join(part for part, _ in found.parts) for found in sides if found)


def test_a_changed_line_marks_the_words() -> None:
    (row,) = diff_rows("amount > 1000", "amount > 2000", around=0)
    assert (row.kind, row.before, row.after) == (
        "changed",
        Side(1, (("amount > ", False), ("1000", True))),
        Side(1, (("amount > ", False), ("2000", True))),
    )


def test_added_and_removed_lines_have_rows_of_their_own() -> None:
    rows = diff_rows("a\nb\nc", "a\nc\nd", around=None)
    assert [(row.kind, row.before and row.before.number, row.after and row.after.number) for row in rows] == [
        ("same", 1, 1),
        ("removed", 2, None),
        ("same", 3, 2),
        ("added", None, 3),
    ]


def test_distant_unchanged_lines_are_omitted() -> None:
    before = [str(number) for number in range(20)]
    rows = diff_rows("\n".join(before), "\n".join([*before[:10], "new", *before[10:]]), around=2)
    assert [(row.kind, row.left_out) for row in rows] == [
        ("gap", 8), ("same", 0), ("same", 0), ("added", 0), ("same", 0), ("same", 0), ("gap", 8),
    ]  # fmt: skip


DOCUMENT = """spec:
  rules:
    - id: a
      approvals:
        all:
          - role: finance
            count: 2
          - role: b
    - id: b
      "a.b":
        c: 1
  list:
  - x
  - y: 1
    z: 2
top: 1"""


def test_omitted_parents_are_named_at_the_gap() -> None:
    lines = DOCUMENT.splitlines()
    assert dict(zip([line.strip() for line in lines], parents_of(lines), strict=True)) == {
        "spec:": "", "rules:": "spec", "- id: a": "spec.rules", "approvals:": "spec.rules.#1",
        "all:": "spec.rules.#1.approvals", "- role: finance": "spec.rules.#1.approvals.all",
        "count: 2": "spec.rules.#1.approvals.all.#1", "- role: b": "spec.rules.#1.approvals.all",
        "- id: b": "spec.rules", '"a.b":': "spec.rules.#2", "c: 1": 'spec.rules.#2."a.b"', "list:": "spec",
        "- x": "spec.list", "- y: 1": "spec.list", "z: 2": "spec.list.#2", "top: 1": "",
    }  # fmt: skip
    rows = diff_rows(DOCUMENT, DOCUMENT.replace("count: 2", "count: 1"), around=0)
    assert [(row.kind, row.path) for row in rows] == [
        ("gap", "spec.rules.#1.approvals.all.#1"), ("changed", ""), ("gap", ""),
    ]  # fmt: skip
    rows = diff_rows(DOCUMENT, DOCUMENT.replace("        c: 1\n", ""), around=0)
    assert (rows[0].kind, rows[0].path) == ("gap", 'spec.rules.#2."a.b"')


def test_equal_texts_have_no_rows() -> None:
    assert diff_rows("a\nb", "a\nb") == []


LINES = st.lists(st.sampled_from(["a", "b", "a b", "", "id: x", "id: y"]), max_size=8).map("\n".join)


@settings(max_examples=examples(200))
@given(LINES, LINES)
def test_every_line_has_parents(before: str, after: str) -> None:
    lines = [*before.splitlines(), "- - a: - b", "-", '"x', ": :", *after.splitlines()]
    assert len(parents_of(lines)) == len(lines)


@settings(max_examples=examples(200))
@given(LINES, LINES)
def test_all_lines_of_both_texts_are_included(before: str, after: str) -> None:
    rows = diff_rows(before, after, around=None)
    assert text_of(rows, "before") == "\n".join(before.splitlines())
    assert text_of(rows, "after") == "\n".join(after.splitlines())
