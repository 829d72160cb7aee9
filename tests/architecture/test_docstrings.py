"""Docstrings begin with an imperative or a noun, not with a question word or a preposition (ruff checks the mood)."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("integrations", "policies", "telemetry", "tests", "threada_site", "workitems")
QUESTION_WORDS = frozenset({"what", "whether", "who", "which", "of"})
PREPOSITIONS = frozenset({"as", "how", "in", "to", "where", "with", "without"})
MOST_PER_CENT = 2


class Docstring(NamedTuple):
    """A docstring with its place in the code."""

    place: str
    first_line: str

    @property
    def first_word(self) -> str:
        found = re.match(r"\w+", self.first_line)
        return found[0].lower() if found else ""


def docstrings() -> Iterator[Docstring]:
    """Yield all docstrings of code and tests."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in blocks(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    text = ast.get_docstring(node)
                    if text:
                        line = node.body[0].lineno
                        yield Docstring(f"{path.relative_to(ROOT)}:{line}", text.splitlines()[0])


def blocks(node: ast.AST) -> Iterator[ast.AST]:
    """Yield `node` and everything below it that may hold statements."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield from blocks(child)


@cache
def all_docstrings() -> tuple[Docstring, ...]:
    return tuple(docstrings())


def check_first_words(words: frozenset[str]) -> None:
    """Fail if more than 2 % of all docstrings begin with one of these words."""
    found = all_docstrings()
    offenders = [docstring for docstring in found if docstring.first_word in words]
    listed = "\n".join(f"{offender.place}: {offender.first_line}" for offender in offenders)
    print(f"{len(offenders)} of {len(found)}\n{listed}")
    assert len(offenders) * 100 <= len(found) * MOST_PER_CENT, (
        f"Begin these docstrings with a verb or a noun:\n{listed}"
    )


def test_few_docstrings_begin_with_a_question_word() -> None:
    check_first_words(QUESTION_WORDS)


def test_few_docstrings_begin_with_a_preposition() -> None:
    check_first_words(PREPOSITIONS)
