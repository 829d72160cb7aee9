"""Words that were replaced do not come back: `retired_words.toml` lists them, each with its replacement."""

from __future__ import annotations

import io
import re
import tokenize
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("retired_words.toml")
SUFFIXES = {".py", ".html", ".txt", ".sql", ".js", ".css", ".md", ".toml", ".service", ".cfg"}
TREES = ("threada_site", "workitems", "policies", "integrations", "telemetry", "templates", "docs", "tests")
FILES = ("manage.py", "pyproject.toml", "README.md", "CHANGELOG.md")
WORD = re.compile(r"[A-Za-z]+")
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
TEMPLATE_CODE = re.compile(r"{[{%].*?[%}]}", re.DOTALL)
TEXT_IN_CODE = re.compile(r'"[^"]*"')

type Place = tuple[str, int, str]
"""A file's path from the root, a line number, and the line."""


@cache
def table() -> dict[str, Any]:
    return tomllib.loads(TABLE.read_text())


def texts() -> Iterator[tuple[str, str]]:
    """Yield the path and the text of every file that people read, except for the table itself."""
    files = [ROOT / name for name in FILES]
    files += [file for tree in TREES for file in sorted((ROOT / tree).rglob("*")) if file.suffix in SUFFIXES]
    for file in files:
        if file != TABLE:
            yield str(file.relative_to(ROOT)), file.read_text()


def parts(text: str) -> set[str]:
    """Return the words in `text` in lower case; identifiers count as their parts."""
    return {part.lower() for word in WORD.findall(text) for part in PART.findall(word)}


def identifiers(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield the line number and the name of every identifier in the code of one file; prose has none."""
    if path.endswith(".py"):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME:
                yield token.start[0], token.string
    elif path.endswith(".html"):
        for code in TEMPLATE_CODE.finditer(text):
            number = text.count("\n", 0, code.start()) + 1
            yield from ((number, name) for name in IDENTIFIER.findall(TEXT_IN_CODE.sub("", code.group())))
    elif path.endswith((".sql", ".js")):
        for number, line in enumerate(text.splitlines(), 1):
            code_of_line = re.split(r"--|//", line, maxsplit=1)[0]
            yield from ((number, name) for name in IDENTIFIER.findall(code_of_line))


def is_allowed(word: str, place: Place) -> bool:
    path, _, line = place
    return any(
        entry["word"] == word and fnmatch(path, entry["path"]) and re.search(entry.get("line", ""), line)
        for entry in table().get("allowed", ())
    )


@cache
def found() -> dict[str, list[Place]]:
    """Return the places of every retired word, by word."""
    words, names, phrases = (set(table()[section]) for section in ("words", "identifiers", "phrases"))
    places: dict[str, list[Place]] = {word: [] for word in (*words, *names, *phrases)}
    for path, text in texts():
        lines = text.splitlines()
        stem = Path(path).stem
        for word in (words & parts(path)) | (names & {stem, stem.removeprefix("test_")}):
            places[word].append((path, 0, path))
        for number, line in enumerate(lines, 1):
            hits = (words & parts(line)) | {phrase for phrase in phrases if phrase in line}
            for word in hits:
                places[word].append((path, number, line))
        for number, name in identifiers(path, text):
            if name in names:
                places[name].append((path, number, lines[number - 1]))
    return places


def test_retired_words_are_not_used() -> None:
    where = [
        f"{word}: {path}:{number}: {line.strip()}"
        for word, places in found().items()
        for path, number, line in places
        if not is_allowed(word, (path, number, line))
    ]
    assert where == []


def test_every_exception_has_a_reason_and_a_use() -> None:
    for entry in table().get("allowed", ()):
        assert entry["reason"]
        assert any(is_allowed(entry["word"], place) for place in found()[entry["word"]]), entry
