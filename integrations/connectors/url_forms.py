"""Bodies of the type application/x-www-form-urlencoded. Imports no Django."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from threada_site.kernel.errors import ExpressionFailed
from threada_site.kernel.json.canonical import canonical_bytes

MEDIA_TYPE: Final = "application/x-www-form-urlencoded"


def encode_form(values: Mapping[str, Any]) -> str:
    """Return the fields as the body contains them: in UTF-8, sorted by name, one field for each value of a list.

    Raises `ExpressionFailed` for values that no field can contain.
    """
    return urlencode([(name, _text(name, value)) for name in sorted(values) for value in _several(values[name])])


def decode_form(body: str) -> dict[str, str | list[str]] | str:
    """Return the fields of a body by name, for people; or the body itself if they do not give exactly its bytes."""
    fields: dict[str, str | list[str]] = {}
    for name, value in parse_qsl(body, keep_blank_values=True):
        known = fields.get(name)
        fields[name] = value if known is None else [*_several(known), value]
    return fields if encode_form(fields) == body else body


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(name: str, value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        raise ExpressionFailed(f"The form field {name!r} must be text, a number, a boolean, or a list of them.")
    return str(value) if isinstance(value, str) else canonical_bytes(value).decode()
