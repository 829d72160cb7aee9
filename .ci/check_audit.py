"""Read the result of pip-audit: `check_audit.py RESULT.json`.

Exit with 1 if a package has a known vulnerability, with 3 if some packages could not be looked up, else with 0.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(result: Path) -> int:
    """Print one line for each finding, or one line about the packages that could not be looked up."""
    packages = json.loads(result.read_text(encoding="utf-8"))["dependencies"]
    findings = [
        f"{package['name']} {package['version']}: {finding['id']}, fixed in {', '.join(finding['fix_versions']) or '-'}"
        for package in packages
        for finding in package.get("vulns", [])
    ]
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if findings:
        print("\n".join(findings))
        return 1
    if unknown or not packages:
        print(f"known vulnerabilities: {len(unknown)} of {len(packages)} packages could not be looked up")
        return 3
    print(f"no known vulnerability in {len(packages)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
