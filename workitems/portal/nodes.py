"""Nodes of a form: groups, lists and fields, with what was typed and its JSON value. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from workitems.portal.entered import PREFIX


class Missing(Enum):
    """Type of `MISSING`, the value of a field that was left empty."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING
_NOT_IN_ID: Final = re.compile(r"[^A-Za-z0-9]")


@dataclass(slots=True, kw_only=True)
class Node:
    """Part of a form at a JSON pointer. `kind` names the template part that shows it."""

    pointer: str
    kind: str
    label: str
    help: str = ""
    required: bool = False
    value: Any = MISSING
    texts: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    choices: tuple[tuple[str, str], ...] = ()
    children: tuple[Node, ...] = ()
    errors: list[str] = field(default_factory=list)
    unreadable: bool = False
    """True if the typed text is no value; then the validator's error about the missing value is left out."""
    most_rows: int = 0
    is_row: bool = False
    changes_form: bool = False
    """True if other fields depend on the value."""
    prefilled: bool = False

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.pointer}"

    @property
    def id(self) -> str:
        """Return an id for HTML, unique in the form."""
        return "p" + _NOT_IN_ID.sub(lambda found: f"_{ord(found[0]):x}_", self.pointer)

    @property
    def text(self) -> str:
        return self.texts[-1] if self.texts else ""

    @property
    def is_field(self) -> bool:
        """Return True if a person can enter a value here."""
        return self.kind not in ("group", "list", "constant")

    @property
    def described_by(self) -> str:
        """Return the ids of the texts that describe the field."""
        parts = {"help": self.help, "mark": self.prefilled, "error": self.errors}
        return " ".join(f"{self.id}-{part}" for part, is_there in parts.items() if is_there)

    @property
    def may_add(self) -> bool:
        return len(self.children) < self.most_rows

    def walk(self) -> Iterator[Node]:
        """Yield the node and everything below it, in the order of the form."""
        yield self
        for child in self.children:
            yield from child.walk()


def key_of(node: Node) -> str:
    """Return the name of a member in its object."""
    return node.pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
