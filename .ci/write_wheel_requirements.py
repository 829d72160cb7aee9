"""Write `wheel-requirements.txt`: the pinned versions that the wheel requires, and those that each extra adds.

`wheel_hook.py` puts them into the wheel, so that `pip install` gets the versions that were tested. `.ci/lock` runs
this.
"""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
_EXPORT: Final = (
    "uv",
    "export",
    "--quiet",
    "--no-emit-project",
    "--no-annotate",
    "--no-header",
    "--no-hashes",
    "--no-dev",
)


def _exported(*options: str) -> list[str]:
    ran = subprocess.run([*_EXPORT, *options], cwd=ROOT, check=True, capture_output=True, text=True)
    return ran.stdout.splitlines()


def requirements() -> list[str]:
    """Return one requirement a line. Those of an extra have its marker."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = base = _exported()
    for extra in sorted(project["optional-dependencies"]):
        for line in _exported("--extra", extra):
            if line not in base:
                requirement, _, marker = line.partition(" ; ")
                condition = f"({marker}) and " if marker else ""
                lines = [*lines, f"{requirement} ; {condition}extra == '{extra}'"]
    return lines


if __name__ == "__main__":
    (ROOT / ".ci" / "wheel-requirements.txt").write_text("\n".join(requirements()) + "\n")
