"""Checking JSON values against JSON Schema (2020-12), with every failing field named by RFC 6901 pointer.

`format` is an annotation unless asked for; references to other documents are never followed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any, Final

import jsonschema_rs

from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to

MAX_ERRORS: Final = 50
MOST_LISTED: Final = 1_000
"""Entries of one list or object in which errors are looked for."""
_LONGEST_NAME: Final = 300


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


def field_errors(
    compiled: jsonschema_rs.Draft202012Validator, value: Any, *, prefix: str = "", known: Collection[str] = ()
) -> list[FieldError]:
    """Return the errors in `value`, at most 50.

    `prefix` is put before every pointer. `known`: names of fields, which objects keep. The engine builds all errors
    before it returns the first one, so it looks for them in a value that is cut. If all of them are in the parts that
    are cut off, only the first is returned.
    """
    if compiled.is_valid(value):
        return []
    found: list[FieldError] = []
    for error in compiled.iter_errors(shortened(value, known=known)):
        found.extend(_named(error, prefix))
        if len(found) >= MAX_ERRORS:
            return found[:MAX_ERRORS]
    if not found:
        try:
            compiled.validate(value)
        except jsonschema_rs.ValidationError as error:
            found = _named(error, prefix)
    return found


def unknown_names(value: Any, known: Collection[str], *, prefix: str = "") -> list[FieldError]:
    """Return errors of the first 50 members that are not `known`, if `value` is an object with more of them than that.

    An engine would copy all of them into its errors. With fewer, it finds the other errors as well.
    """
    if not isinstance(value, dict) or len(value) - len(known) <= MAX_ERRORS:
        return []
    names = list(islice((name for name in value if name not in known), MAX_ERRORS))
    return [_unknown(prefix, name) for name in names]


def field_names(schema: Any) -> Iterator[str]:
    """Yield the names of all fields anywhere in a schema."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for child in schema.values():
            yield from field_names(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from field_names(child)


def shortened(value: Any, *, most: int = MOST_LISTED, known: Collection[str] = ()) -> Any:
    """Return a JSON value with long lists and objects cut to `most` entries. Objects keep members that are `known`."""
    if isinstance(value, dict):
        if len(value) > most:
            kept = {name: value[name] for name in known if name in value}
            value = {**dict(islice(value.items(), most)), **kept}
        return {name: shortened(child, most=most, known=known) for name, child in value.items()}
    if isinstance(value, list):
        return [shortened(child, most=most, known=known) for child in value[:most]]
    return value


def _named(error: jsonschema_rs.ValidationError, prefix: str) -> list[FieldError]:
    """Return one error per field: missing and unexpected properties, not the object around them."""
    place = pointer_to(prefix, *error.instance_path)
    kind: Any = error.kind  # its attributes depend on its name
    if kind.name == "required":
        return [FieldError(pointer_to(place, kind.property), "is required", "required")]
    if kind.name in ("additionalProperties", "unevaluatedProperties"):
        return [_unknown(place, name) for name in kind.unexpected[:MAX_ERRORS]]
    message = error.message if len(error.message) <= 300 else error.message[:297] + "…"
    return [FieldError(place, message, kind.name)]


def _unknown(place: str, name: str) -> FieldError:
    shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    return FieldError(pointer_to(place, shown), "is not known here", "unknown_field")
