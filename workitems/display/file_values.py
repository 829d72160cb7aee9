"""Values of the format `file` for people: name, size, type and digest. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from babel import Locale

from threada_site.kernel import ids
from workitems.display.formats import size_in_words

FILE_SCHEMA: Final[Mapping[str, Any]] = {
    "properties": {
        "name": {},
        "size": {"x-threada": {"format": "bytes"}},
        "media_type": {},
        "sha256": {"title": "SHA-256"},
        "attachment_id": {},
    }
}
"""Labels, order and formats of the members of a file."""
MEMBERS: Final = frozenset(FILE_SCHEMA["properties"])
_ID: Final = re.compile(rf"{ids.ATTACHMENT}_{ids.SUFFIX_PATTERN}")


def attachment_in(value: Any) -> str:
    """Return the id of the attachment that a value of the format `file` names; empty if it has another form."""
    if not isinstance(value, dict) or value.keys() != MEMBERS:
        return ""
    named = value["attachment_id"]
    is_whole = isinstance(value["name"], str) and isinstance(value["size"], int)
    return named if is_whole and isinstance(named, str) and _ID.fullmatch(named) else ""


def described(name: str, size: int, locale: Locale) -> str:
    """Return name and size of a file: `invoice.pdf (48.2 kB)`."""
    return f"{name} ({size_in_words(size, locale)})"
