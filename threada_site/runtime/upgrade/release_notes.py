"""Release notes: the sections of CHANGELOG.md. Pure."""

from __future__ import annotations

import re
from pathlib import Path


def notes_between(text: str, before: str, after: str) -> str:
    """Return the sections of versions newer than `before`, up to `after`. Without `before`, only that of `after`."""
    sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    wanted = [
        section
        for section in sections
        if (version := _version(section)) <= _numbers(after)
        and (version > _numbers(before) if before else version == _numbers(after))
    ]
    return "".join(wanted).strip()


def read_changelog(base_dir: Path) -> str:
    """Return the text of the change log; empty if the installation does not contain it."""
    file = base_dir / "CHANGELOG.md"
    return file.read_text() if file.exists() else ""


def _version(section: str) -> tuple[int, ...]:
    return _numbers(section.removeprefix("## ").split(maxsplit=1)[0])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
