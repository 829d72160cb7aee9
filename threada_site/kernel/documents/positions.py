"""Position of a character of a scalar's value in YAML or JSON text, past quotes, escapes, folds and indentation."""

from __future__ import annotations

import re
from typing import Final

_BLOCK_HEAD: Final = re.compile(r"[|>][-+0-9]*[ \t]*(?:#[^\r\n]*)?(?:\r\n|\r|\n)[ \t]*")
_FOLD: Final = re.compile(r"[ \t]*(?:\r\n|\r|\n)[ \t]*")
_ESCAPED: Final = '"\\/'


def offset_in_text(text: str, start: int, value: str, wanted: int) -> int | None:
    r"""Return the offset in `text` of `value[wanted]`, for a scalar that starts at `start`.

    A scalar starts at its quote or `|`, if it has one. None if the text does not contain the character literally, as
    with `\u0041` or an empty line.
    """
    head = _BLOCK_HEAD.match(text, start)
    first = text[start : start + 1]
    quote = first if first in ("'", '"') else ""
    place: int | None = head.end() if head else start + len(quote)
    for character in value[:wanted]:
        if place is None:
            return None
        place = _past(text, place, character, quote)
    return place


def _past(text: str, place: int, character: str, quote: str) -> int | None:
    """Return the offset after the raw text of one character at `place`, or None."""
    raw = text[place : place + 1]
    if quote == '"' and raw == "\\":
        return place + 2 if character in _ESCAPED and text[place + 1 : place + 2] == character else None
    if quote == "'" and raw == "'":
        return place + 2 if character == "'" and text[place + 1 : place + 2] == "'" else None
    fold = _FOLD.match(text, place) if character in " \n" else None
    if fold:
        return fold.end()
    return place + 1 if raw == character else None
