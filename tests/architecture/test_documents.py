"""What the documents say exists: links lead somewhere, commands are there, and every setting is explained."""

from __future__ import annotations

import re
from pathlib import Path

from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
OPERATIONS = ROOT / "docs" / "operations.md"
BETWEEN_OWN_PROCESSES = {"THREADA_PROCESS", "THREADA_READY_FILE", "THREADA_STOPPING_FILE"}
"""Set by the product for processes that it starts."""
FOR_PEOPLE_WHO_TEST = {"THREADA_TEST_DATABASE"}


def anchors(document: Path) -> set[str]:
    """The names of its headings, as they stand in links."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere() -> None:
    broken = []
    for document in DOCUMENTS:
        for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            if link.startswith(("https://", "http://", "mailto:")):
                continue
            path, _, anchor = link.partition("#")
            target = (document.parent / path).resolve() if path else document
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{document.relative_to(ROOT)}: {link}")
    assert broken == []


def test_every_command_exists() -> None:
    named = {
        (command, str(document.relative_to(ROOT)))
        for document in DOCUMENTS
        for command in re.findall(r"manage\.py\s+([a-z_]+)", document.read_text())
    }
    assert len(named) > 30
    known = {*get_commands(), "help"}
    assert sorted(entry for entry in named if entry[0] not in known) == []


def test_every_setting_is_explained() -> None:
    sources = [*(ROOT / "threada_site").rglob("*.py"), ROOT / "manage.py"]
    reading = re.compile(r"\b(?:text|words|numbers?|flag|key|keys)\(\s*\"(THREADA_[A-Z_]+)\"")
    read = {name for source in sources for name in reading.findall(source.read_text())}
    assert {"THREADA_DATA_DIR", "THREADA_WEB_PROCESSES", "THREADA_BATCH_CAPS"} <= read
    table = OPERATIONS.read_text().split("## Settings")[1].split("\n## ")[0]
    explained = set(re.findall(r"THREADA_[A-Z_]+", table))
    assert sorted(read - explained - BETWEEN_OWN_PROCESSES - FOR_PEOPLE_WHO_TEST) == []
