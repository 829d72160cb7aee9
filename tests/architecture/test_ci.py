"""`.ci/run` names tests that exist, and its checks of the supply chain detect what they are for."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from tests.lanes import chosen_marks

ROOT: Final = Path(__file__).resolve().parents[2]
RUN: Final = ROOT / ".ci" / "run"


def script(name: str) -> ModuleType:
    """Import a script of `.ci`."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tests_that_it_names_exist() -> None:
    named = re.findall(r"\btests/[\w/.]+", RUN.read_text())
    assert len(named) >= 14
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_a_lane_reads_every_file_with_a_test_of_it() -> None:
    """Check which marks a lane looks for, and that files name the marks of their tests themselves."""
    assert chosen_marks("(adversarial or slow) and not browser and not quiet") == {"adversarial", "slow"}
    assert chosen_marks("not adversarial and not browser") == chosen_marks("") == set()
    elsewhere = re.compile(r"add_marker\(|import (?:\w+, )*(?:mark|pytestmark)\b|pytest\.mark as ")
    assert [str(path) for path in (ROOT / "tests").rglob("*.py") if elsewhere.search(path.read_text())] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["all", "fast"],
        ["fast", "1/2"],
        ["adversarial", "0/2"],
        ["adversarial", "3/2"],
        ["adversarial", "1/2", "x"],
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str]) -> None:
    ran = subprocess.run([RUN, *arguments], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "adversarial 2/3" in ran.stderr


def test_a_requirement_that_is_not_listed_is_reported(tmp_path: Path) -> None:
    sbom, requirements = tmp_path / "sbom.json", tmp_path / "requirements.txt"
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "metadata": {"component": {"name": "threada"}},
        "components": [{"name": "A_b", "version": "1"}, {"name": "c", "version": "2"}],
    }
    sbom.write_text(json.dumps(document))
    requirements.write_text("a-b==1 \\\n    --hash=x\nc==2\nonly-there==3 ; sys_platform == 'win32' \\\n")
    problems = script("check_sbom").problems
    assert problems(sbom, requirements) == []
    requirements.write_text("a-b==1\nc==3\nd==4\n")
    assert problems(sbom, requirements) == [
        "c 3 is required, the bill of materials lists 2",
        "d 4 is required, the bill of materials lists None",
    ]


@pytest.mark.parametrize(
    ("packages", "code"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], 0),
        ([{"name": "a", "version": "1", "vulns": [{"id": "X-1", "fix_versions": ["2"]}]}], 1),
        ([{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}], 3),
        ([], 3),
    ],
)
def test_vulnerabilities_and_skipped_packages_are_reported(
    packages: list[dict[str, Any]], code: int, tmp_path: Path
) -> None:
    result = tmp_path / "result.json"
    result.write_text(json.dumps({"dependencies": packages}))
    assert script("check_audit").main(result) == code
