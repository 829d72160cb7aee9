"""What every kind of document can do: be brought in force, be written back, be taken out."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import yaml

from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import DocumentInvalid, FieldError
from threada_site.kernel.ids import is_slug
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

    `remove` takes out what `export` named, and raises `InUse` naming whatever needs it.
    """

    apply: Callable[[Written, ActingContext], Applied]
    export: Callable[[ActingContext], Iterable[Stored]]
    remove: Callable[[str, ActingContext], None]


def slug_of(value: Written) -> str:
    """The id of a document. Raises `DocumentInvalid`."""
    slug = value.get("id")
    if not isinstance(slug, str) or not is_slug(slug):
        raise DocumentInvalid(
            errors=[FieldError("/id", "Give it an id of a to z, 0 to 9, _ and -, 63 characters at most.")]
        )
    return slug


def spec_of(value: Written) -> Written:
    """The spec of a document. Raises `DocumentInvalid`."""
    spec = value.get("spec")
    if not isinstance(spec, dict):
        raise DocumentInvalid(errors=[FieldError("/spec", "spec is an object.", "required")])
    return spec


def name_of(value: Written) -> str | None:
    """Return the label of a document, or an empty string. Raises `DocumentInvalid`."""
    name = value.get("name")
    if name is not None and not isinstance(name, str):
        raise DocumentInvalid(errors=[FieldError("/name", "name is text.")])
    return name


def check_fields(value: Written, spec: Written, *, in_spec: Iterable[str] | None = None) -> None:
    """Refuse fields other than kind, id, name and spec, and fields of the spec that are not `in_spec`, if given."""
    unknown = [f"/{name}" for name in sorted(set(value) - {"kind", "id", "name", "spec"})]
    if in_spec is not None:
        unknown += [f"/spec/{name}" for name in sorted(set(spec) - set(in_spec))]
    if unknown:
        raise DocumentInvalid(
            errors=[FieldError(at, "There is no such field here.", "unknown_field") for at in unknown]
        )


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
