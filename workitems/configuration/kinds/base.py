"""Operations of every kind of document: apply, export, remove."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import yaml

from threada_site.kernel.context import ActingContext
from threada_site.kernel.differences import unified
from threada_site.kernel.documents.structure import Schema
from threada_site.tenancy.upsert import Change

type Written = dict[str, Any]
"""A document as a JSON value."""


@dataclass(frozen=True, slots=True)
class Applied:
    """Result of applying one document.

    `difference` is a unified diff of the spec if the document existed and changed. `warnings` are sentences.
    """

    kind: str
    name: str
    change: Change
    difference: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """Something in force and its document. `name` is equal to `Applied.name`."""

    name: str
    document: Written


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of document.

    `schema` returns the JSON Schema of whole documents. `remove` removes an object by the name that `export`
    returned; it raises `InUse` with the objects that need it.
    """

    schema: Callable[[], Schema]
    apply: Callable[[Written, ActingContext], Applied]
    export: Callable[[ActingContext], Iterable[Stored]]
    remove: Callable[[str, ActingContext], None]


def whole(kind: str, slug: str, spec: Any, *, name: str = "") -> Written:
    """Return a document with its header."""
    return {"kind": kind, "id": slug, **({"name": name} if name else {}), "spec": spec}


def diff(before: Any, after: Any) -> str:
    """Return the changes as a YAML diff; empty if there was nothing before."""
    if before is None or before == after:
        return ""
    old, new = (
        yaml.dump(value, Dumper=yaml.CSafeDumper, allow_unicode=True, width=_WIDTH).splitlines(keepends=True)
        for value in (before, after)
    )
    return "".join(unified(old, new, "in force", "document", around=2))


_WIDTH: Final = 100
