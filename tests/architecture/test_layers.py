"""The layers of the code, and the sizes of its files."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Final

import grimp
from grimp import ImportGraph

ROOT = Path(__file__).resolve().parents[2]
DJANGO = {
    "auditlog", "django", "django_filters", "django_structlog", "drf_spectacular", "guardian", "rest_framework", "unfold",
}  # fmt: skip
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


def test_client_and_server_do_not_import_each_other() -> None:
    """The contracts of the Python client; those of the server forbid the other direction."""
    client = ROOT / "integrations" / "clients" / "python"
    run = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--config", str(client / "pyproject.toml")],
        cwd=client / "src", env={**os.environ, "PYTHONPATH": str(client / "src")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    paths = [file for file in source_files() if client not in file.parents]
    assert [str(file) for file in paths if "threada_client" in file.read_text()] == []


def test_architecture_page_lists_the_layers_of_the_contracts() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    page = (ROOT / "docs" / "architecture.md").read_text()
    for app in PACKAGES[1:]:
        (layers,) = (contract["layers"] for contract in contracts if contract["name"] == f"Layers of {app}")
        written = (", ".join(f"`{name}`" for name in re.split(r" [|:] ", layer)) for layer in layers)
        assert f"| `{app}` | {' > '.join(written)} |" in page


def test_modules_that_say_so_import_no_django() -> None:
    """A docstring with `Pure` or `Imports no Django` covers the module, or the folder of an `__init__`. No import of
    such a module, of its parent packages, or of modules of ours that they import, may reach Django or its extensions."""
    graph = grimp.build_graph(
        *PACKAGES, include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )
    declared = [module for module in graph.modules if module.partition(".")[0] in PACKAGES and is_declared(module)]
    assert len(declared) > 150
    chains = [" -> ".join(chain) for module in sorted(declared) if (chain := chain_to_django(graph, module))]
    assert chains == []


def is_declared(module: str) -> bool:
    """Return True if the docstring of the module or of one of its packages says that it imports no Django."""
    parts = module.split(".")
    for length in range(2, len(parts) + 1):
        path = ROOT.joinpath(*parts[:length])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        said = ast.get_docstring(ast.parse(file.read_text())) or ""
        if re.search(r"\bPure\b|\bImports\s+no\s+Django\b", said):
            return True
    return False


def chain_to_django(graph: ImportGraph, module: str) -> list[str]:
    """Return the chain of imports from the module to Django, or an empty list."""
    came_from = {module: ""}
    waiting = [module]
    while waiting:
        here = waiting.pop()
        imported = {*graph.find_modules_directly_imported_by(here), here.rpartition(".")[0]} - {"", *came_from}
        came_from |= dict.fromkeys(imported, here)
        for found in imported & DJANGO:
            chain = [found]
            while chain[0] != module:
                chain.insert(0, came_from[chain[0]])
            return chain
        waiting += [name for name in imported if name.partition(".")[0] in PACKAGES]
    return []


MOST: Final = {
    "tests/workitems/steps": 28,
    **dict.fromkeys(
        (
            "threada_site/api",
            "threada_site/console",
            "threada_site/tenancy",
            "workitems/api",
            "workitems/executions",
            "workitems/steps",
        ),
        26,
    ),
}
"""Modules of folders that are to be divided by noun; no other folder has more than 25."""


def test_folders_have_at_most_25_modules() -> None:
    """Package files, `__main__` and `conftest` are not counted."""
    uncounted = {"__init__.py", "__main__.py", "conftest.py"}
    files = [file for file in [*source_files(), *(ROOT / "tests").rglob("*.py")] if file.name not in uncounted]
    folders = Counter(file.parent.relative_to(ROOT) for file in files)
    assert {str(folder): count for folder, count in folders.items() if count > MOST.get(str(folder), 25)} == {}


def test_folders_of_tests_mirror_the_code() -> None:
    folders = {file.parent for package in PACKAGES for file in (ROOT / "tests" / package).rglob("test_*.py")}
    names = {folder.relative_to(ROOT / "tests") for folder in folders}
    assert [str(name) for name in sorted(names) if not (ROOT / name).is_dir()] == []


def test_no_folder_is_called_services() -> None:
    """Folders are named after what they hold."""
    assert [str(file) for file in source_files() if "services" in file.relative_to(ROOT).parts] == []


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
