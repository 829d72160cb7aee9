"""The layers of the code, and the sizes of its files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("threada_site", "workitems", "policies", "integrations", "telemetry")
TOP_LEVEL = {
    "manage.py", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "docs", "templates", "tests", *PACKAGES,
}  # fmt: skip


def source_files() -> list[Path]:
    return [
        file
        for package in PACKAGES
        for file in sorted((ROOT / package).rglob("*.py"))
        if "migrations" not in file.parts
    ]


def test_imports_go_down_only() -> None:
    """The contracts of `[tool.importlinter]`."""
    run = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout


def test_top_level_is_the_agreed_one() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode != 0:
        return  # an archive without its history
    names = {line.partition("/")[0] for line in tracked.stdout.splitlines()}
    assert {name for name in names if not name.startswith(".")} - TOP_LEVEL == set()


def test_files_stay_short() -> None:
    """Past 300 lines a file is split by noun; past 400 none stays but the verifier, which is one file by promise."""
    sizes = {
        file.relative_to(ROOT): len(file.read_text().splitlines())
        for file in source_files()
        if file.name != "threada_verify.py"
    }
    assert {str(file): size for file, size in sizes.items() if size > 400} == {}


def test_no_file_is_called_by_a_name_that_says_nothing() -> None:
    banned = {"utils", "helpers", "common", "misc"}
    assert [file for file in source_files() if file.stem in banned] == []


def test_no_signals_are_used() -> None:
    """Whoever causes a thing calls it."""
    offenders = [
        file
        for file in source_files()
        if "django.dispatch" in file.read_text() or "db.models.signals" in file.read_text()
    ]
    assert offenders == []
