"""The files of pinned versions with hashes agree with pyproject.toml and name no package index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
FILES: Final = (".ci/requirements.txt", ".ci/requirements-dev.txt")
REQUIREMENT: Final = re.compile(
    r"(?P<name>[a-z0-9._-]+)==(?P<version>[^ ;]+)(?P<marker> ; .*?)?(?P<hashes>(?: --hash=.*)?)"
)
HASHES: Final = re.compile(r"(?: --hash=sha256:[0-9a-f]{64})+")
ADVICE: Final = "run .ci/lock"


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def constraints() -> dict[str, str]:
    return dict(entry.split("==") for entry in project()["tool"]["uv"]["constraint-dependencies"])


def requirements(file: str) -> list[re.Match[str]]:
    """One match for each requirement."""
    text = re.sub(r"\s*\\\n\s*", " ", (ROOT / file).read_text())
    matches = [REQUIREMENT.fullmatch(line) for line in text.splitlines() if not line.startswith("#")]
    assert None not in matches, "a line is no pinned requirement"
    return [match for match in matches if match is not None]


def names_of(entries: list[str]) -> set[str]:
    return {re.match(r"[a-z0-9-]+", entry).group() for entry in entries}  # type: ignore[union-attr]


@pytest.mark.parametrize("file", FILES)
def test_every_version_is_that_of_pyproject_and_has_hashes(file: str) -> None:
    pinned = constraints()
    for match in requirements(file):
        assert HASHES.fullmatch(match["hashes"]), match["name"]
        elsewhere = re.search("sys_platform == '(win32|emscripten)'", match["marker"] or "")
        only_elsewhere = match["name"] not in pinned and elsewhere is not None
        assert only_elsewhere or pinned.get(match["name"]) == match["version"], f"{match['name']}: {ADVICE}"


def test_every_dependency_is_there() -> None:
    declared = project()
    product, development = ({match["name"] for match in requirements(file)} for file in FILES)
    wanted = list(declared["project"]["dependencies"])
    for extra in declared["project"].get("optional-dependencies", {}).values():
        wanted += extra
    assert names_of(wanted) - product - {"threada"} == set(), ADVICE
    assert constraints().keys() - development == set(), ADVICE
    assert product <= development, ADVICE


def test_wheel_requires_the_same_versions() -> None:
    """The versions of the product, each once or once for each extra that needs it."""
    wheel = (ROOT / ".ci" / "wheel-requirements.txt").read_text().splitlines()
    pinned = {f"{match['name']}=={match['version']}" for match in requirements(FILES[0])}
    assert {line.partition(" ;")[0] for line in wheel} == pinned, ADVICE
    extras = {extra for line in wheel for extra in re.findall(r"extra == '(.*)'", line)}
    assert extras == project()["project"]["optional-dependencies"].keys(), ADVICE


@pytest.mark.parametrize("file", FILES)
def test_no_address_is_named(file: str) -> None:
    text = (ROOT / file).read_text()
    assert [word for word in ("://", "index-url", "find-links", "trusted-host", " @ ") if word in text] == []
