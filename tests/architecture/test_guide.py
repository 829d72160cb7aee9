"""The guide names every page, and its reference pages agree with the code."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from threada_site.identity.default_roles import DEFAULT_ROLES, default_visibility
from threada_site.kernel.context import ALL_SCOPES, Scope
from threada_site.runtime.command_page import commands_markdown
from workitems.proof.controls import controls_markdown

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
OUTSIDE_THE_MENU = {"reference-document-kinds.md"}
"""Pages that others lead to."""


def paths(entries: Any) -> Iterator[str]:
    """Yield the files that the navigation names."""
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for value in entry.values():
                yield from [value] if isinstance(value, str) else paths(value)


def test_navigation_names_every_page_once() -> None:
    named = list(paths(tomllib.loads((ROOT / ".zensical.toml").read_text())["project"]["nav"]))
    assert len(named) == len(set(named))
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    decisions = {page for page in pages if page.startswith("adr/") and page != "adr/README.md"}
    assert set(named) == pages - decisions - OUTSIDE_THE_MENU


def test_page_of_commands_is_current() -> None:
    assert (DOCS / "reference" / "commands.md").read_text() == commands_markdown(), "run manage.py write_commands"


def test_page_of_roles_agrees_with_the_code() -> None:
    page = (DOCS / "reference" / "roles.md").read_text()
    rows = {
        name: (scopes, visibility)
        for name, scopes, visibility in re.findall(r"^\| `(\w+)` \| (.+) \| (\w+) \|$", page, re.MULTILINE)
    }
    assert rows.keys() == DEFAULT_ROLES.keys()
    for name, scopes in DEFAULT_ROLES.items():
        written = set(ALL_SCOPES) if rows[name][0] == "all" else set(re.findall(r"`([\w:]+)`", rows[name][0]))
        assert (written, rows[name][1]) == ({scope.value for scope in scopes}, default_visibility(name).value)
    assert set(re.findall(r"^\| `(\w+:\w+)` ", page, re.MULTILINE)) == {scope.value for scope in Scope}


def test_page_of_metrics_names_every_metric() -> None:
    apps = ("threada_site", "workitems", "policies", "integrations", "telemetry")
    text = "".join(path.read_text() for app in apps for path in sorted((ROOT / app).rglob("*.py")))
    written = set(re.findall(r"(?:Metric|MetricFamily)\(\s*\"(threada_[a-z_]+)\"", text))
    page = (DOCS / "reference" / "metrics.md").read_text()
    assert set(re.findall(r"^\| `(threada_\w+)`", page, re.MULTILINE)) == written


def test_links_between_pages_stay_in_the_guide() -> None:
    outside = [
        f"{page.relative_to(DOCS)}: {link}"
        for page in DOCS.rglob("*.md")
        for link in re.findall(r"\]\(([^)\s#]+\.md)(?:#[^)\s]*)?\)", page.read_text())
        if not link.startswith("https://") and not (page.parent / link).resolve().is_relative_to(DOCS)
    ]
    assert outside == []


def test_page_of_controls_is_current() -> None:
    assert (DOCS / "reference" / "controls.md").read_text() == controls_markdown(), "run manage.py write_controls"
