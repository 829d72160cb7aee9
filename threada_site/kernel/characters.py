"""Characters that cannot be seen, or that make a text look like another: found, so that a page can show them.

Not found is what a reader sees anyway: letters, marks, signs, the plain space, and tab and newline, which pages keep.
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
    "\ue000-\uf8ff\U000f0000-\U0010ffff"  # private use: looks like whatever a font says
)
_RUN: Final = re.compile(f"([{_UNSEEN}])")
_DIRECTIONS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def pieces(text: str) -> list[tuple[str, bool]]:
    """`text` in pieces, each with whether it is a character that cannot be seen."""
    return [(piece, bool(place % 2)) for place, piece in enumerate(_RUN.split(text)) if piece]


def has_unseen(text: str) -> bool:
    return _RUN.search(text) is not None


def code_point(character: str) -> str:
    """`U+202E`."""
    return f"U+{ord(character):04X}"


def name_of(character: str) -> str:
    """What a character is called, in words."""
    if character in "\r\n":
        return "carriage return" if character == "\r" else "newline"
    return unicodedata.name(character, "control or unnamed character").lower()


def turns_text(character: str) -> bool:
    """Whether a character changes the order in which a text is shown."""
    return character in _DIRECTIONS


def unseen_in(value: Any) -> Counter[str]:
    """The characters that cannot be seen in a JSON value, keys included, and how often each stands there."""
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
