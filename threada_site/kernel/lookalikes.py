"""Words with letters of several scripts, and texts that look alike. Pure.

After Unicode Technical Standard 39. The table has the letters of its `confusables.txt` that look like a letter or digit
of ASCII and that NFKC does not replace (Unicode data, Unicode License v3).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from threada_site.kernel.characters import pieces

_LETTERS: Final[dict[str, str]] = {
    "a": "\u0251\u03b1\u0430",
    "b": "\u0184\u042c\u13cf\u1472\u15af",
    "c": "\u0441\u1d04\u2ca5\uabaf",
    "d": "\u0501\u13e7\u146f\ua4d2",
    "e": "\u0435\u04bd\uab32",
    "f": "\u0584\u1e9d\ua799\uab35",
    "g": "\u018d\u0261\u0581\u1d83",
    "h": "\u04bb\u0570\u13c2",
    "i": "\u0131\u0269\u026a\u03b9\u0456\u13a5\ua647\uab75",
    "j": "\u03f3\u0458",
    "l": "\u04cf\u0196\u01c0\u0399\u0406\u04c0\u16c1\u2c92\u2d4f\ua4f2",
    "n": "\u0578\u057c",
    "o": (
        "\u03bf\u03c3\u043e\u0585\u06f5\u0966\u0a66\u0ae6\u0be6\u0c66\u0ce6\u0d20\u0d66\u0e50\u0ed0\u101d"
        "\u1040\u10ff\u1d0f\u1d11\u2c9f\uab3d"
    ),
    "p": "\u03c1\u0440\u2ca3",
    "q": "\u051b\u0563\u0566",
    "r": "\u0433\u1d26\u2c85\uab47\uab48\uab81",
    "s": "\u01bd\u0455\ua731\uabaa",
    "u": "\u028b\u03c5\u057d\u1d1c\ua79f\uab4e\uab52",
    "v": "\u03bd\u0475\u1d20\uaba9",
    "w": "\u026f\u0461\u051d\u0561\u1d21\uab83",
    "x": "\u0445\u1541\u157d",
    "y": "\u0263\u028f\u03b3\u0443\u04af\u10e7\u1d8c\u1eff\uab5a",
    "z": "\u1d22\uab93",
    "A": "\u0391\u0410\u13aa\u15c5\ua4ee",
    "B": "\u0392\u0412\u13f4\u15f7\ua4d0\ua7b4",
    "C": "\u0421\u13df\u2ca4\ua4da",
    "D": "\u13a0\u15de\u15ea\ua4d3",
    "E": "\u0395\u0415\u13ac\u2d39\ua4f0",
    "F": "\u03dc\u15b4\ua4dd\ua798",
    "G": "\u050c\u13c0\u13f3\ua4d6",
    "H": "\u0397\u041d\u13bb\u157c\u2c8e\ua4e7",
    "J": "\u037f\u0408\u13ab\u148d\ua4d9\ua7b2",
    "K": "\u039a\u041a\u13e6\u16d5\u2c94\ua4d7",
    "L": "\u13de\u14aa\u2cd0\ua4e1",
    "M": "\u039c\u03fa\u041c\u13b7\u15f0\u16d6\u2c98\ua4df",
    "N": "\u039d\u2c9a\ua4e0",
    "O": "\u039f\u041e\u0555\u09e6\u0b20\u0b66\u12d0\u2c9e\u2d54\ua4f3",
    "P": "\u03a1\u0420\u13e2\u146d\u2ca2\ua4d1",
    "Q": "\u2d55",
    "R": "\u01a6\u13a1\u13d2\u1587\ua4e3",
    "S": "\u0405\u054f\u13d5\u13da\ua4e2",
    "T": "\u03a4\u0422\u13a2\u2ca6\ua4d4",
    "U": "\u054d\u1200\u144c\ua4f4",
    "V": "\u0474\u06f7\u13d9\u142f\u2d38\ua4e6\ua6df",
    "W": "\u051c\u13b3\u13d4\ua4ea",
    "X": "\u03a7\u0425\u16b7\u2cac\u2d5d\ua4eb\ua7b3",
    "Y": "\u03a5\u0423\u04ae\u13a9\u13bd\u2ca8\ua4ec",
    "Z": "\u0396\u13c3\ua4dc",
    "2": "\u01a7\u03e8\u14bf\ua644\ua75a",
    "3": "\u01b7\u021c\u0417\u04e0\u2ccc\ua76a\ua7ab",
    "4": "\u13ce",
    "5": "\u01bc",
    "6": "\u0431\u13ee\u2cd2",
    "8": "\u0222\u0223\u09ea\u0a6a",
    "9": "\u09ed\u0a67\u0b68\u0d6d\u2cca\ua76e",
}
_ASCII: Final = {"0": "O", "1": "l", "I": "l", "|": "l"}
_TABLE: Final = str.maketrans({**{other: plain for plain, others in _LETTERS.items() for other in others}, **_ASCII})
_WORD: Final = re.compile(r"[^\W_](?:[^\W_]|[\u0300-\u036f])*")
_UNITS: Final = re.compile("[\u00b5\u2126]")  # the signs for micro and ohm
_SPACE: Final = re.compile(r"\s+")
_TOGETHER: Final = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
)
"""Scripts that one word of Japanese, Korean or Chinese may contain."""


def words(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the pieces of `text`; of a word with letters of several scripts also the names of the scripts."""
    end = 0
    for found in _WORD.finditer(text):
        scripts = scripts_of(found[0])
        if len(scripts) > 1:
            if found.start() > end:
                yield text[end : found.start()], ()
            yield found[0], scripts
            end = found.end()
    if end < len(text):
        yield text[end:], ()


def has_mixed_word(text: str) -> bool:
    """Return True if a word of the text has letters of several scripts."""
    return not text.isascii() and any(len(scripts_of(found[0])) > 1 for found in _WORD.finditer(text))


def scripts_of(word: str) -> tuple[str, ...]:
    """Return the scripts of the letters of a word, sorted; one if they are written together in one language."""
    if word.isascii():
        return ()
    found = {_script(letter) for letter in unicodedata.normalize("NFKC", _UNITS.sub("", word)) if letter.isalpha()} - {
        ""
    }
    if any(found <= together for together in _TOGETHER):
        return tuple(sorted(found))[:1]
    return tuple(sorted(found))


def skeleton(text: str) -> str:
    """Return the same text for texts that look alike: letters of other scripts, digits, unseen characters."""
    seen = "".join(piece for piece, is_unseen in pieces(unicodedata.normalize("NFKC", text)) if not is_unseen)
    plain = seen.translate(_TABLE).replace("rn", "m")
    dashed = "".join("-" if unicodedata.category(character) == "Pd" else character for character in plain)
    return _SPACE.sub(" ", dashed).strip()


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """Return the script of a letter by its Unicode name; empty for letters of no script of their own."""
    first = unicodedata.name(letter, "").split(" ", 1)[0].partition("-")[0]
    return "" if first in ("MODIFIER", "FEMININE", "MASCULINE", "MICRO", "DOUBLE") else first
