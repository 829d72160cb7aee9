"""Command blocks of the documents: commands and options exist, requests are in the OpenAPI document, a test runs each.

A block that no test runs says why in a comment above it, which the site does not show.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from django.core.management import CommandError, get_commands, load_command_class

from threada_site.api.documentation.pages import openapi_schema

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKED: Final = ("README.md", "docs/how-to/", "docs/operations/")
_BLOCK: Final = re.compile(
    r"^(?:(?P<indent> *)<!-- (?P<mark>[^\n]*) -->\n\s*)?^ *```(?:sh|console)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_RUN: Final = re.compile(r"run by (tests/[\w/]+\.py)")
_INLINE: Final = re.compile(r"`(?:uv run )?(?:manage\.py|threada) ([a-z_]+)( [^`]+)`")
_ROW: Final = re.compile(r"^\| `([a-z_]+)( [^`]+)`", re.MULTILINE)
_ENDS: Final = re.compile(r"\d?[<>|;&]")
_REQUEST: Final = re.compile(r"(?:https?://[\w.:]+|\$THREADA)(/[^\s\"']*)")
_OF_OPERATORS: Final = {"/metrics", "/openapi.json"}
_OF_THE_CLIENT: Final = {"export", "verify", "hook"}
"""Commands of the Python client, which is called `threada` too."""


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield mark and text of the command blocks of a page."""
    for block in _BLOCK.finditer(page.read_text()):
        yield block["mark"] or "", textwrap.dedent(block["text"])


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each management command in a block."""
    for line in text.replace("\\\n", " ").splitlines():
        found = re.search(r"(?:^|\s|\()(?:manage\.py|threada)\s+(.*)", line)
        if found is None:
            continue
        words = shlex.split(found[1].replace("$(", "").replace(")", ""), comments=True, posix=True)
        end = next((place for place, word in enumerate(words) if _ENDS.match(word)), len(words))
        if words[0] not in _OF_THE_CLIENT:
            yield words[:end]


@cache
def parser(command: str) -> argparse.ArgumentParser:
    application = get_commands()[command]
    loaded = load_command_class(application, command) if isinstance(application, str) else application
    return loaded.create_parser("manage.py", command)


def options(of: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the options of a command and of its subcommands."""
    for action in of._actions:  # argparse has no other list of them
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from options(sub)


def test_commands_in_blocks_are_accepted_by_their_parsers() -> None:
    wrong, seen = [], 0
    for page in PAGES:
        for _, text in blocks(page):
            for command, *words in commands(text):
                seen += 1
                if "--help" in words or "…" in command:
                    continue
                try:
                    parser(command).parse_args(words)
                except (CommandError, KeyError, SystemExit) as error:
                    wrong.append(f"{page.relative_to(ROOT)}: {command} {' '.join(words)}: {error}")
    assert wrong == []
    assert seen > 40


def test_options_in_sentences_exist() -> None:
    wrong = []
    for page in PAGES:
        text = page.read_text()
        found = _INLINE.findall(text) + (_ROW.findall(text) if page.name == "README.md" else [])
        for command, words in found:
            if command not in get_commands():  # test_documents names them
                continue
            known = set(options(parser(command)))
            wrong += [
                f"{page.relative_to(ROOT)}: {command} {option}"
                for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", words)
                if option not in known
            ]
    assert wrong == []


def test_requests_in_blocks_are_operations_of_the_api() -> None:
    paths = openapi_schema()["paths"]
    known = {
        (method.upper(), re.compile(re.sub(r"\{\w+\}", "[^/]+", path) + "$"))
        for path, operations in paths.items()
        for method in operations
    }
    wrong, seen = [], 0
    for page in PAGES:
        for _, text in blocks(page):
            for line in text.replace("\\\n", " ").split("curl ")[1:]:
                target = _REQUEST.search(line)
                if target is None:
                    continue
                seen += 1
                path = target[1].partition("?")[0]
                named = re.search(r"-X (\w+)", line)
                method = named[1] if named else "POST" if re.search(r" -(d|F) ", line) else "GET"
                if path not in _OF_OPERATORS and not any(method == verb and it.match(path) for verb, it in known):
                    wrong.append(f"{page.relative_to(ROOT)}: {method} {path}")
                body = re.search(r"-d '(\{.*?\})'\s*$", line.partition("\ncurl")[0].split("\n\n")[0], re.DOTALL)
                if body and "'\"" not in body[1]:
                    json.loads(body[1])
    assert wrong == []
    assert seen > 15


def test_every_block_is_run_by_a_test_or_says_why_not() -> None:
    wrong = []
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        if not name.startswith(MARKED):
            continue
        for mark, text in blocks(page):
            run = _RUN.fullmatch(mark)
            if run is None and not re.fullmatch(r"not run: .{8,}", mark):
                wrong.append(f"{name}: no mark: {text.splitlines()[0]}")
            if run is not None:
                test = ROOT / run[1]
                if not test.exists() or page.name not in test.read_text():
                    wrong.append(f"{name}: {run[1]} does not read {page.name}")
    assert wrong == []


@pytest.mark.parametrize(
    ("block", "problem"), [("uv run manage.py up --prot 1", "--prot"), ("uv run manage.py fly", "fly")]
)
def test_the_check_sees_a_wrong_command(block: str, problem: str) -> None:
    ((command, *words),) = commands(block)
    with pytest.raises((CommandError, KeyError), match=problem):
        parser(command).parse_args(words)


def test_every_rehearsed_task_names_its_test_or_says_that_there_is_none() -> None:
    """`test_documents` checks that the tests exist."""
    page = (ROOT / "docs" / "operations" / "rehearsed.md").read_text()
    rows = [row.strip("| ").split(" | ") for row in re.findall(r"^\| .* \|$", page, re.MULTILINE)][1:]
    assert len(rows) > 20
    for task, *_, rehearsed in rows:
        assert rehearsed == "not rehearsed" or re.match(r"`tests/[\w/]+\.py::test_\w+`", rehearsed), task
