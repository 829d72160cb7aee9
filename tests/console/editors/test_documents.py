"""Answers to the editor of documents: completion and errors, for people who write documents."""

from __future__ import annotations

from typing import Any

import pytest

from tests.console.sign_in import Console
from tests.journeys.demo import Demo

COMPLETE = "/console/documents/complete/"
CHECK = "/console/documents/check/"


def marks(browser: Any, kind: str, text: str) -> list[tuple[int, int, str]]:
    answer = browser.post(CHECK, {"kind": kind, "document": text}).json()
    return [(mark["line"], mark["column"], mark["detail"]) for mark in answer["marks"]]


def test_words_of_the_schema_are_suggested(demo: Demo, console: Console) -> None:
    answer = console("admin").post(COMPLETE, {"kind": "Integration", "before": "spec:\r\n  connector: "}).json()
    assert [entry["text"] for entry in answer["suggestions"]] == [
        "chat",
        "http",
        "mail",
        "mcp",
        "mock",
        "webhook",
        "workflow",
    ]
    assert not answer["suggestions"][0]["is_key"]


def test_errors_have_line_and_column(demo: Demo, console: Console) -> None:
    browser = console("admin")
    text = "kind: Workflow\nid: w\nspec:\n  payload_schema: {type: object}\n  actionz: []\n"
    assert marks(browser, "Workflow", text)[0] == (5, 3, "There is no field 'actionz' here. Did you mean actions?")
    ((line, column, _),) = marks(browser, "Workflow", "kind: [\n")
    assert (line, column) >= (1, 1)
    assert marks(browser, "", "{a: 1}") == []
    assert marks(browser, "", "a: 1\n---\nb: 1")[0][2].startswith("Enter one document")
    ((line, column, _),) = marks(
        browser,
        "Integration",
        "kind: Integration\nid: i\nspec:\n  connector: http\n  base_url: http://[bad\n  actions: {a: {method: GET, path: /}}\n",
    )
    assert (line, column) == (5, 3)
    tests = "    - {action: a, expect: succeeded}\n    - {action: a, given: {status: 500}, expect: succeeded}\n"
    ((line, column, said),) = marks(
        browser,
        "Integration",
        "kind: Integration\nid: i\nspec:\n  connector: http\n  base_url: http://a.example\n"
        f"  actions: {{a: {{method: GET, path: /}}}}\n  tests:\n{tests}",
    )
    assert (line, said.partition(".")[0]) == (9, "Expected succeeded, and the answer gives outcome_unknown")


@pytest.mark.parametrize("kind", ["Nothing", "../x", "<script>"])
def test_unknown_kinds_are_not_found(demo: Demo, console: Console, kind: str) -> None:
    browser = console("admin")
    assert browser.post(COMPLETE, {"kind": kind, "before": ""}).status_code == 404
    assert browser.post(CHECK, {"kind": kind, "document": ""}).status_code == 404


def test_only_who_writes_documents_may_ask(demo: Demo, console: Console) -> None:
    for address in (COMPLETE, CHECK):
        assert console("finance-1").post(address, {"kind": "Workflow"}).status_code == 403
        assert console("admin").get(address).status_code == 405
