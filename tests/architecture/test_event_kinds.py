"""Kinds of events: the list is that of the code, and the page is current."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

from django.conf import settings

from telemetry.receipts.event_kinds import EVENT_KINDS
from telemetry.receipts.event_page import event_examples, events_markdown, recorded_kinds
from threada_site.console.security_history import _TITLES
from workitems.completeness.expected_receipts import EXPECTED_DELETION_RECEIPTS, EXPECTED_RECEIPTS

ROOT = Path(settings.THREADA_BASE_DIR)
_KIND = re.compile(r"[a-z_]+\.[a-z_]+")
_WRITERS = re.compile(r"^(_?record(_\w+)?|\w*[Ee]ntry|FactorEvent)$")


def kinds_in_code() -> set[str]:
    """Return the texts that the code passes to functions that write receipts."""
    found: set[str] = set()
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        if name.startswith("tests/") or "/migrations/" in name:
            continue
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if _WRITERS.match(called):
                given = [*node.args[:2], *(word.value for word in node.keywords if word.arg == "kind")]
                found |= {
                    text.value
                    for value in given
                    for text in ([value.body, value.orelse] if isinstance(value, ast.IfExp) else [value])
                    if isinstance(text, ast.Constant) and isinstance(text.value, str) and _KIND.fullmatch(text.value)
                }
    return found


def test_every_kind_of_the_code_is_listed() -> None:
    found = kinds_in_code()
    assert len(found) > 120
    expected = {entry.kind for entry in (*EXPECTED_RECEIPTS, *EXPECTED_DELETION_RECEIPTS)}
    assert (found | expected | set(_TITLES)) - set(EVENT_KINDS) == set()
    assert list(EVENT_KINDS) == sorted(EVENT_KINDS)


def test_the_page_is_current_and_has_an_example_of_every_kind() -> None:
    assert set(event_examples()) == set(EVENT_KINDS)
    assert set(recorded_kinds()) <= set(EVENT_KINDS)
    assert (ROOT / "docs" / "reference" / "events.md").read_text() == events_markdown(), "run manage.py write_events"
