"""The header shared by configuration documents: `kind`, `id` and `spec`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.language.field_errors import FieldErrors
from threada_site.kernel.ids import is_slug
from threada_site.kernel.json.pointers import pointer_to


def read_header(value: Mapping[str, Any], kind: str, errors: FieldErrors) -> tuple[str | None, Mapping[str, Any], str]:
    """Return the id, the spec and the pointer of the spec.

    A document without `kind` and `spec` is a bare spec: its id is None and its pointer "".
    """
    if "kind" not in value and "spec" not in value:
        return None, value, ""
    errors.known_fields(value, ("kind", "id", "spec"), "")
    errors.one_of(value.get("kind"), (kind,), "/kind", "kind of document here")
    spec = value.get("spec")
    if not isinstance(spec, Mapping):
        errors.add("/spec", "spec is an object.", "wrong_type" if "spec" in value else "required")
        spec = {}
    return read_slug(value, "", errors), spec, "/spec"


def read_slug(value: Mapping[str, Any], pointer: str, errors: FieldErrors) -> str:
    """Return the `id` of the object at `pointer`; if it is invalid, add an error and return ""."""
    name = value.get("id")
    if isinstance(name, str) and is_slug(name):
        return name
    code = "invalid" if "id" in value else "required"
    errors.add(pointer_to(pointer, "id"), "Give it an id of a to z, 0 to 9, _ and -, 63 characters at most.", code)
    return ""
