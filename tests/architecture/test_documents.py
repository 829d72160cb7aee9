"""Links, commands, settings, files and tests that the documents name exist; every setting is explained."""

from __future__ import annotations

import re
from pathlib import Path

from django.core.management import get_commands

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / ".github").rglob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
APPS = ("threada_site", "workitems", "policies", "integrations", "telemetry")
FOLDERS = {*APPS, "tests", "docs", "templates", ".ci", ".github"}
SETTINGS = ROOT / "docs" / "operations" / "settings.md"
BETWEEN_OWN_PROCESSES = {
    "THREADA_HAS_PLATFORM_LOGIN",
    "THREADA_PROCESS",
    "THREADA_READY_FILE",
    "THREADA_STOPPING_FILE",
}
"""Settings that the product passes to processes that it starts."""
FOR_PEOPLE_WHO_TEST = {"THREADA_TEST_DATABASE"}


def anchors(document: Path) -> set[str]:
    """Return the names under which links address the headings of `document`."""
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
    explained = set(re.findall(r"THREADA_[A-Z_]+", SETTINGS.read_text()))
    assert sorted(read - explained - BETWEEN_OWN_PROCESSES - FOR_PEOPLE_WHO_TEST) == []


def test_every_named_setting_exists() -> None:
    sources = [ROOT / "manage.py", *(path for app in APPS for path in (ROOT / app).rglob("*.py"))]
    sources += [*(ROOT / "tests").rglob("*.py"), ROOT / ".ci" / "run"]
    known = {name for source in sources for name in re.findall(r"THREADA_[A-Z_]+[A-Z]", source.read_text())}
    named = {
        (name, str(document.relative_to(ROOT)))
        for document in DOCUMENTS
        for name in re.findall(r"`(THREADA_[A-Z_]+[A-Z])\b", document.read_text())
    }
    assert sorted(entry for entry in named if entry[0] not in known) == []


def test_every_named_file_and_test_exists() -> None:
    missing = []
    for document in DOCUMENTS:
        for path, test in re.findall(r"`((?:[\w.-]+/)+[\w.-]*)(?:::(\w+))?`", document.read_text()):
            if path.split("/")[0] not in FOLDERS:
                continue
            target = ROOT / path
            if not target.exists() or (test and not re.search(rf"(def|class) {test}\b", target.read_text())):
                missing.append(f"{document.relative_to(ROOT)}: {path} {test}".strip())
    assert missing == []
