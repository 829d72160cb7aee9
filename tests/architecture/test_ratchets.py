"""Numbers of the code that grow only where a commit raises the stored one and says why, in `ratchets.toml`."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.test_layers import source_files

STORED: Final = tomllib.loads(Path(__file__).with_name("ratchets.toml").read_text())
SUPPRESSION: Final = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma:|nosec|fmt:)")
VIEW_BASES: Final = frozenset({"APIView", "PublicView", "TenantView"})


@cache
def sources() -> dict[Path, str]:
    """Return the text of each file of the product."""
    return {file: file.read_text() for file in source_files()}


def classes() -> Iterator[ast.ClassDef]:
    """Yield the classes of the product."""
    for text in sources().values():
        yield from (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef))


def base_names(node: ast.ClassDef) -> set[str]:
    return {base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases}


def view_names() -> set[str]:
    """Return the names of classes derived from a view, directly or not; viewsets and their base are none."""
    found, views = list(classes()), set(VIEW_BASES)
    while added := {node.name for node in found if base_names(node) & views and not is_viewset(node)} - views:
        views |= added
    return views & {node.name for node in found}


def is_viewset(node: ast.ClassDef) -> bool:
    return node.name.endswith("ViewSet")


def repeated_module_names() -> int:
    """Count the names that several modules share; those that Django and packages prescribe aside."""
    prescribed = {"__init__", "admin", "apps", "models", "urls"}
    names = Counter(file.stem for file in sources() if "migrations" not in file.parts and "commands" not in file.parts)
    return sum(1 for name, count in names.items() if count > 1 and name not in prescribed)


MEASURED: Final = {
    "view_classes": lambda: len(view_names()),
    "viewsets": lambda: sum(map(is_viewset, classes())),
    "hooks": lambda: sum(len(re.findall(r"\bimport_string\(", text)) for text in sources().values()),
    "repeated_module_names": repeated_module_names,
    "suppressions": lambda: sum(len(SUPPRESSION.findall(text)) for text in sources().values()),
    "import_lines": lambda: sum(len(re.findall(r"(?m)^(?:from|import) ", text)) for text in sources().values()),
    "product_lines": lambda: sum(text.count("\n") for text in sources().values()),
}


@pytest.mark.parametrize("name", STORED["at_most"])
def test_number_does_not_grow(name: str) -> None:
    assert MEASURED[name]() <= STORED["at_most"][name]


@pytest.mark.parametrize("name", STORED["at_least"])
def test_number_does_not_shrink(name: str) -> None:
    assert MEASURED[name]() >= STORED["at_least"][name]


def test_every_number_is_stored_once() -> None:
    assert sorted([*STORED["at_most"], *STORED["at_least"]]) == sorted(MEASURED)
