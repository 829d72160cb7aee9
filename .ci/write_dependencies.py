"""Write `docs/dependencies.md`: each dependency with its licence and the reason for it. `--check` only compares.

Reasons are the comments in `pyproject.toml`. Licences are those that the installed packages declare.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[1]
TARGET: Final = ROOT / "docs" / "dependencies.md"
_LINE: Final = re.compile(r'"(?P<requirement>[A-Za-z0-9][^"]*)",?\s*\]?\s*(?:# (?P<reason>.+))?$')
_HEAD: Final = """# Dependencies

Written by `python .ci/write_dependencies.py` from `pyproject.toml` and the metadata of the installed packages; a test
compares it. Exact versions with hashes are in `.ci/requirements.txt`. `.ci/run supply-chain` compares them with the
advisories that pip-audit finds, and reports a skipped step if it cannot reach them.
"""
_TOOLS_HEAD: Final = """\
They build and check packages, or are real parts that tests talk to, each in an environment of its own. No installation
contains them.

| package | version | used for |
|---|---|---|"""
_TOOLS: Final = {
    "tests/packages/requirements.txt": "Checks of the image, Compose and the chart.",
    "tests/clients/requirements.txt": "Generated Python clients.",
    "tests/clients/frameworks.txt": "Agent frameworks of the examples.",
    "tests/clients/agents/requirements.txt": "Node for the MCP Inspector.",
    "tests/clients/agents/package.json": "MCP clients.",
    "tests/receivers/canaille/requirements.txt": "An identity provider.",
    "tests/receivers/oidc/package.json": "An identity provider.",
    "tests/receivers/s3/requirements.txt": "An S3 server and its client.",
    "integrations/clients/typescript/package.json": "Build and checks of the TypeScript client.",
}
"""Files with pinned tools, and what they are for."""
_PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[\w,-]+\])?==([\w.]+)", re.MULTILINE)


def main(arguments: list[str]) -> int:
    text = document()
    if "--check" in arguments:
        return int(TARGET.read_text(encoding="utf-8") != text)
    TARGET.write_text(text, encoding="utf-8")
    return 0


def document() -> str:
    """Return the page."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project, groups = declared["project"], declared["dependency-groups"]
    reasons = dict(_reasons())
    parts = [_HEAD, "## Required\n", *_direct(project["dependencies"], reasons)]
    for extra, requirements in sorted(project["optional-dependencies"].items()):
        parts += [f"\n## Optional part `{extra}`\n", *_direct(requirements, reasons)]
    tools = [text for text in groups["dev"] if not text.startswith("threada[")]
    parts += ["\n## Tests and checks\n", "Not installed by `uv run --no-dev`.\n", *_direct(tools, reasons)]
    parts += ["\n## Tools of the build and of the lanes\n", _TOOLS_HEAD, *_tools(declared["build-system"]["requires"])]
    optional = [text for requirements in project["optional-dependencies"].values() for text in requirements]
    parts += ["\n## Needed by these\n", "| package | licence | needed by |", "|---|---|---|"]
    for name, needed_by in sorted(indirect([*project["dependencies"], *optional]).items()):
        parts.append(f"| {name} | {licence(distribution(name))} | {', '.join(sorted(needed_by))} |")
    return "\n".join(parts) + "\n"


def indirect(requirements: list[str]) -> dict[str, set[str]]:
    """Return the installed packages that these requirements need, each with the packages that name it."""
    direct = {_name(text) for text in requirements}
    found: dict[str, set[str]] = {}
    waiting = [(_name(text), frozenset(Requirement(text).extras)) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        for text in distribution(name).requires or []:
            needed = Requirement(text)
            if not any(_applies(needed, extra) for extra in (*extras, "")):
                continue
            other = _name(text)
            try:
                distribution(other)
            except PackageNotFoundError:
                continue
            if other not in direct:
                found.setdefault(other, set()).add(name)
            waiting.append((other, frozenset(needed.extras)))
    return found


def licence(package: Distribution) -> str:
    """Return the licence that a package declares, as an SPDX expression if it declares one."""
    metadata = package.metadata
    expression = metadata.get("License-Expression")
    if expression:
        return str(expression)
    classified = [
        line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or [] if line.startswith("License :: OSI")
    ]
    stated = str(metadata.get("License") or "").strip()
    return ", ".join(classified) or (stated if stated and "\n" not in stated else "not declared")


def _direct(requirements: list[str], reasons: dict[str, str]) -> Iterator[str]:
    yield "| package | licence | reason |"
    yield "|---|---|---|"
    for text in sorted(requirements, key=_name):
        yield f"| {_name(text)} | {licence(distribution(_name(text)))} | {_sentence(reasons.get(_name(text), ''))} |"


def _tools(build: list[str]) -> Iterator[str]:
    for name, version in _PINNED.findall("\n".join(build)):
        yield f"| {name} | {version} | Builds the wheels. |"
    for name, version in sorted(set(re.findall(r"uvx --quiet ([\w-]+)==([\w.]+)", _text(".ci/run")))):
        yield f"| {name} | {version} | {'The guide' if name == 'zensical' else 'Known vulnerabilities'}. |"
    for file, purpose in _TOOLS.items():
        if file.endswith(".json"):
            declared = json.loads(_text(file))
            found = sorted({**declared.get("dependencies", {}), **declared.get("devDependencies", {})}.items())
        else:
            found = sorted(_PINNED.findall(_text(file)))
        for name, version in found:
            yield f"| {name} | {version} | {purpose} |"


def _text(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def _reasons() -> Iterator[tuple[str, str]]:
    for line in (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines():
        match = _LINE.search(line.strip())
        if match and match["reason"]:
            yield _name(match["requirement"]), match["reason"]


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:].rstrip(".") + "." if reason else ""


def _applies(needed: Requirement, extra: str) -> bool:
    return needed.marker is None or needed.marker.evaluate({"extra": extra})


def _name(requirement: str) -> str:
    return canonicalize_name(Requirement(requirement).name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
