"""Checking JSON values against JSON Schema (2020-12), with every failing field named by RFC 6901 pointer.

`format` is an annotation unless asked for; references to other documents are never followed.
"""

from __future__ import annotations

from typing import Any, Final

import jsonschema_rs

from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to

MAX_ERRORS: Final = 50


def validator(
    schema: dict[str, Any],
    *,
    assert_format: bool = False,
    repeats_values: bool = True,
    pattern_options: jsonschema_rs.RegexOptions | None = None,
) -> jsonschema_rs.Draft202012Validator:
    """Return a compiled validator. Without `repeats_values`, errors contain no values.

    Raise `jsonschema_rs.ValidationError` or `ValueError` for an unusable schema.
    """
    mask = None if repeats_values else "What was sent"
    return jsonschema_rs.Draft202012Validator(
        schema, validate_formats=assert_format, offline=True, mask=mask, pattern_options=pattern_options
    )


def field_errors(compiled: jsonschema_rs.Draft202012Validator, value: Any, *, prefix: str = "") -> list[FieldError]:
    """Return the errors in `value`, at most 50; `prefix` is put before every pointer."""
    if compiled.is_valid(value):
        return []
    found: list[FieldError] = []
    for error in compiled.iter_errors(value):
        found.extend(_named(error, prefix))
        if len(found) >= MAX_ERRORS:
            return found[:MAX_ERRORS]
    return found


def _named(error: jsonschema_rs.ValidationError, prefix: str) -> list[FieldError]:
    """Return one error per field: missing and unexpected properties, not the object around them."""
    place = pointer_to(prefix, *error.instance_path)
    kind: Any = error.kind  # its attributes depend on its name
    if kind.name == "required":
        return [FieldError(pointer_to(place, kind.property), "is required", "required")]
    if kind.name in ("additionalProperties", "unevaluatedProperties"):
        names = kind.unexpected[:MAX_ERRORS]
        return [FieldError(pointer_to(place, name), "is not known here", "unknown_field") for name in names]
    message = error.message if len(error.message) <= 300 else error.message[:297] + "…"
    return [FieldError(place, message, kind.name)]
