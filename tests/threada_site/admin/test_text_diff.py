"""Text diff in two columns."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from threada_site.admin.text_diff import Row, Side, diff_rows


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


def test_equal_texts_have_no_rows() -> None:
    assert diff_rows("a\nb", "a\nb") == []


LINES = st.lists(st.sampled_from(["a", "b", "a b", "", "id: x", "id: y"]), max_size=8).map("\n".join)


@settings(max_examples=examples(200))
@given(LINES, LINES)
def test_all_lines_of_both_texts_are_included(before: str, after: str) -> None:
    rows = diff_rows(before, after, around=None)
    assert text_of(rows, "before") == "\n".join(before.splitlines())
    assert text_of(rows, "after") == "\n".join(after.splitlines())
