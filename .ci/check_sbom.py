"""Check a software bill of materials: `check_sbom.py SBOM REQUIREMENTS`.

It must be a CycloneDX document about this project, and list each pinned requirement that is installed on this platform,
with that version.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

_REQUIREMENT = re.compile(r"^([a-z0-9._-]+)==([^\s;\\]+)(?: ; (?P<marker>[^\\\n]+))?", re.MULTILINE)


def problems(sbom: Path, requirements: Path) -> list[str]:
    """Return one line for each problem."""
    document = json.loads(sbom.read_text(encoding="utf-8"))
    if document.get("bomFormat") != "CycloneDX":
        return [f"{sbom} is not a CycloneDX document"]
    found = [] if document["metadata"]["component"]["name"] == "threada" else [f"{sbom} is not about threada"]
    listed = {re.sub(r"[._]+", "-", part["name"].lower()): part["version"] for part in document["components"]}
    for name, version, marker in _REQUIREMENT.findall(requirements.read_text(encoding="utf-8")):
        if not marker and listed.get(name) != version:
            found.append(f"{name} {version} is required, the bill of materials lists {listed.get(name)}")
    return found


if __name__ == "__main__":
    lines = problems(Path(sys.argv[1]), Path(sys.argv[2]))
    print("\n".join(lines) or f"{sys.argv[1]} lists every requirement")
    sys.exit(bool(lines))
