"""`docs/dependencies.md` lists every dependency with its licence and the reason for it."""

from __future__ import annotations

import runpy
import tomllib
from typing import Any

import pytest

from threada_site.environment import BASE_DIR

PAGE = (BASE_DIR / "docs" / "dependencies.md").read_text(encoding="utf-8")
DECLARED = tomllib.loads((BASE_DIR / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(BASE_DIR / ".ci" / "write_dependencies.py"))


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| package")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_direct_dependencies_are_as_declared(script: dict[str, Any]) -> None:
    written, present = script["document"](), PAGE
    assert present.partition("## Needed by these")[0] == written.partition("## Needed by these")[0], (
        "run python .ci/write_dependencies.py"
    )


def test_every_dependency_has_a_reason() -> None:
    without = [row[0] for row in rows(PAGE) if not row[2]]
    assert without == [], "write the reason as a comment in pyproject.toml"


def test_what_is_installed_with_them_is_listed(script: dict[str, Any]) -> None:
    project = DECLARED["project"]
    optional = [text for group in project["optional-dependencies"].values() for text in group]
    listed = {row[0] for row in rows(PAGE.partition("## Needed by these")[2])}
    assert script["indirect"]([*project["dependencies"], *optional]).keys() <= listed


def test_installations_contain_only_licences_without_conditions_for_their_users() -> None:
    """The licences of installed packages permit use in other works; LGPL and MPL packages are used unchanged."""
    installed = rows(PAGE.partition("## Tests and checks")[0]) + rows(PAGE.partition("## Needed by these")[2])
    known = ("MIT", "BSD", "Apache", "PSF", "MPL", "Mozilla", "LGPL", "ISC", "Unlicense")
    assert [row for row in installed if not any(name in row[1] for name in known)] == []
