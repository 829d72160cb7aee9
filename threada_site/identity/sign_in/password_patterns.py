"""Password rule: no password made of few repetitions, sequences and common words.

A library that estimates guesses (zxcvbn) was tried: it took 4.9 s, with the interpreter held, for 64 characters that
each stand for a letter (`4@8({[`).
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any, Final

from django.contrib.auth.password_validation import CommonPasswordValidator
from django.core.exceptions import ValidationError

LEAST: Final = 8
"""Parts that a password must have at least. See `part_count`."""
_EXAMINED: Final = 64
_WORD: Final = 3
_SEQUENCE: Final = 2
_REPETITION: Final = 1
_SHORTEST: Final = 3
_SHORTEST_WORD: Final = 4
_SEPARATORS: Final = frozenset(" -_.,;:/")
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl;'",
    "qsdfghjklm",
    "zxcvbnm,./",
    "yxcvbnm,.-",
    "wxcvbn,;:!",
    "!@#$%^&*()_+",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
)
_SEQUENCES: Final = (*_ROWS, *(row[::-1] for row in _ROWS))
_LETTERS: Final = str.maketrans("@4301!5$7", "aaeoiisst")
"""Signs that are commonly written for letters."""


class PatternValidator:
    """Validator for `AUTH_PASSWORD_VALIDATORS`."""

    def validate(self, password: str, user: Any = None) -> None:
        if part_count(password) < LEAST:
            raise ValidationError(
                "This password repeats itself or consists of sequences and common words. Use four words that have "
                "nothing to do with each other.",
                code="password_of_patterns",
            )

    def get_help_text(self) -> str:
        return "Your password cannot be a repetition, a sequence of keys, or one or two common words."


def part_count(password: str) -> int:
    """Return the number of parts that somebody must guess, the fewest that the password can be divided into.

    A character counts 1, a separator 0, a common word 3, a sequence of keys, letters or digits 2, and a repetition of
    what came before 1, each of any length. Only the first 64 characters are examined.
    """
    text = unicodedata.normalize("NFKC", password[:_EXAMINED]).casefold()[:_EXAMINED]
    plain = text.translate(_LETTERS)
    words = _common_words()
    fewest = [0]
    for end in range(1, len(text) + 1):
        best = fewest[end - 1] + (text[end - 1] not in _SEPARATORS)
        for begin in range(end - _SHORTEST, -1, -1):
            if fewest[begin] + _REPETITION >= best:
                continue
            part = text[begin:end]
            if part in text[:begin] or len(set(part)) == 1:
                best = fewest[begin] + _REPETITION
            elif any(part in sequence for sequence in _SEQUENCES):
                best = min(best, fewest[begin] + _SEQUENCE)
            elif end - begin >= _SHORTEST_WORD and (part in words or plain[begin:end] in words):
                best = min(best, fewest[begin] + _WORD)
        fewest.append(best)
    return fewest[-1]


@lru_cache(1)
def _common_words() -> frozenset[str]:
    return frozenset(CommonPasswordValidator().passwords) | {"threada"}
