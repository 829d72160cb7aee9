"""Detection of characters that are invisible or change the appearance of text, so that pages can show them.

Visible characters are not reported: letters, marks, signs, the plain space, and tab and newline.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

_UNSEEN: Final = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and newline
    "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"  # spaces that are not the plain one
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0"  # joiners and fillers
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # zero width, line separators, directions
    "\ufe00-\ufe0f\ufeff\ufff0-\ufffb"  # variation selectors, byte order mark, annotations
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # shorthand and music controls, tags
    "\ue000-\uf8ff\U000f0000-\U0010ffff"  # private use: displayed differently by each font
)
_RUN: Final = re.compile(f"([{_UNSEEN}])")
_DIRECTIONS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_CLASSES: Final = {"R": "R", "AL": "R", "L": "L", "EN": "0", "AN": "0", "ET": "0", "ES": ",", "CS": ","}
_TURNED: Final = re.compile("R[^L]*0(?!0|,0)[^L]*0")


def pieces(text: str) -> list[tuple[str, bool]]:
    """Return the pieces of `text`, each with True for an invisible character."""
    return [(piece, bool(place % 2)) for place, piece in enumerate(_RUN.split(text)) if piece]


def has_unseen(text: str) -> bool:
    return _RUN.search(text) is not None


def code_point(character: str) -> str:
    """Return the code point, for example `U+202E`."""
    return f"U+{ord(character):04X}"


def name_of(character: str) -> str:
    """Return the name of a character."""
    if character in "\r\n":
        return "carriage return" if character == "\r" else "newline"
    return unicodedata.name(character, "control or unnamed character").lower()


def turns_text(character: str) -> bool:
    """Return True if a character changes the display order of text."""
    return character in _DIRECTIONS


def has_turned_numbers(text: str) -> bool:
    """Return True if a page displays numbers of the text in another order than they are written.

    Numbers behind a letter that is written from right to left are displayed from right to left: `34 56` behind a Hebrew
    letter as `56 34`, each number in itself as written (Unicode Standard Annex #9).
    """
    if text.isascii():
        return False
    return _TURNED.search("".join(_CLASSES.get(unicodedata.bidirectional(each), " ") for each in text)) is not None


def unseen_in(value: Any) -> Counter[str]:
    """Return the invisible characters of a JSON value, including keys, with their counts."""
    found: Counter[str] = Counter()
    for text in _texts(value):
        found.update(_RUN.findall(text))
    return found


def _texts(value: Any) -> Iterator[str]:
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            pending += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple):
            pending += part
