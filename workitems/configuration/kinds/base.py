"""What every kind of document can do: be brought in force, be written back, be taken out."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import yaml

from threada_site.kernel.context import ActingContext
from threada_site.kernel.documents.structure import Schema
from threada_site.tenancy.upsert import Change

type Written = dict[str, Any]
"""A document as a JSON value."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What one document did. `difference` is a unified diff of the spec, for what existed and changed.

    `is_draft`: it is not in force; a second person publishes it.
    """

    kind: str
    name: str
    change: Change
    difference: str = ""
    is_draft: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """Something that is in force, and the document that says so; `name` is the one `Applied` has."""

    name: str
    document: Written


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of document.

    `schema` returns the JSON Schema of whole documents. `remove` removes an object by the name that `export` returned;
    it raises `InUse` with the objects that need it.
    """

    schema: Callable[[], Schema]
    apply: Callable[[Written, ActingContext], Applied]
    export: Callable[[ActingContext], Iterable[Stored]]
    remove: Callable[[str, ActingContext], None]


def whole(kind: str, slug: str, spec: Any, *, name: str = "") -> Written:
    """A document with its head."""
    return {"kind": kind, "id": slug, **({"name": name} if name else {}), "spec": spec}


def diff(before: Any, after: Any) -> str:
    """What changed, as lines of YAML; nothing when it did not exist before."""
    if before is None or before == after:
        return ""
    old, new = (
        yaml.dump(value, Dumper=yaml.CSafeDumper, allow_unicode=True, width=_WIDTH).splitlines(keepends=True)
        for value in (before, after)
    )
    return "".join(difflib.unified_diff(old, new, "in force", "document", n=2))


_WIDTH: Final = 100
