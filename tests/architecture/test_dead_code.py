"""No function, class or constant of the product is defined without being used by the product."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from tests.architecture.test_layers import PACKAGES, ROOT, source_files

FOUND_BY_NAME = re.compile(r"urlpatterns|application|handler\d{3}|Command|\w+Config|\w+Admin|_views|SessionStore")
"""Names that Django looks up."""
FOR_TESTS = {"clear_cached_page", "clear_endorsement_cache", "forget_counts", "forget_origins", "forget_replicas"}
"""Functions that clear caches of a process between tests."""
WITHOUT_A_WAY_IN = {"origins_of_receipts", "withdraw_role"}
"""Services that neither API, console nor command calls."""


def words() -> Counter[str]:
    """Return how often each word occurs in code, templates, scripts and project settings."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*") if file.suffix in {".py", ".js"}]
    files += [*(ROOT / "templates").rglob("*.html"), ROOT / "pyproject.toml", ROOT / "manage.py"]
    return Counter(word for file in files for word in re.findall(r"\w+", file.read_text()))


def defined(file: Path) -> list[str]:
    """Return the names that a module defines at its top, without those that a decorator registers."""
    names = []
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.decorator_list:
            names.append(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    return names


def test_everything_is_used() -> None:
    occurrences = words()
    unused = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in source_files()
        if "settings" not in file.parts  # Django reads them by name; the product's own are checked below
        for name in defined(file)
        if occurrences[name] == 1 and name not in FOR_TESTS | WITHOUT_A_WAY_IN and not FOUND_BY_NAME.fullmatch(name)
    ]
    assert unused == []


def test_every_setting_of_the_product_is_read() -> None:
    settings = ROOT / "threada_site" / "settings"
    elsewhere = "\n".join(file.read_text() for file in source_files() if settings not in file.parents)
    read = set(re.findall(r"\bTHREADA_\w+", elsewhere))
    own = {name for file in settings.glob("*.py") for name in defined(file) if name.startswith("THREADA_")}
    assert sorted(own - read) == []


def test_every_template_is_used() -> None:
    templates = ROOT / "templates"
    by_django = {"400.html", "404.html", "500.html", "unfold/helpers/command.html"}
    """Rendered by Django for errors, and in place of a template of the console's theme."""
    texts = {file: file.read_text() for file in [*source_files(), *templates.rglob("*.html")]}
    names = {str(file.relative_to(templates)): file for file in templates.rglob("*.html")}
    unused = [
        name for name, file in names.items() if not any(name in text for other, text in texts.items() if other != file)
    ]
    assert set(unused) - by_django == set()
