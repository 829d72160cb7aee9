"""Words of texts and the lexemes that stand for them. Pure.

Words are compared without case, accents and punctuation. Every lexeme begins with a key of its tenant, so that the
index keeps the words of tenants apart: neither the size nor the speed of a search depends on other tenants.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final

LONGEST_WORD: Final = 64
MOST_WORDS: Final = 1_000
_GAP: Final = 10
"""Distance of the positions of two texts, so that no phrase matches across them."""
_MOST_POSITIONS: Final = 16_000
_WORD: Final = re.compile(r"[^\W_]+")
_KEY_LENGTH: Final = 6


def words_in(text: str) -> list[str]:
    """Return the words of a text, in order. Longer words than `LONGEST_WORD` are cut."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return [word[:LONGEST_WORD] for word in _WORD.findall(plain)]


def texts_in(value: Any) -> Iterator[str]:
    """Yield the texts and numbers of a JSON value, without the names of its fields."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            waiting.extend(reversed(current.values()))
        elif isinstance(current, list):
            waiting.extend(reversed(current))
        elif isinstance(current, str):
            yield current
        elif isinstance(current, int | float) and not isinstance(current, bool):
            yield str(current)


def tenant_key(tenant_id: uuid.UUID) -> str:
    """Return the beginning of every lexeme of a tenant. `threada_search` computes the same."""
    return hashlib.md5(str(tenant_id).encode(), usedforsecurity=False).hexdigest()[:_KEY_LENGTH]


def word_lexeme(key: str, word: str) -> str:
    return f"{key}{word}"


def person_lexeme(key: str, principal_id: uuid.UUID) -> str:
    """Return the lexeme of a requester, submitter, assignee or voter. Names are looked up when somebody searches."""
    return f"{key}@{principal_id}"


def party_lexeme(key: str, principal_id: uuid.UUID) -> str:
    """Return the lexeme of a principal whose own the work item is."""
    return f"{key}={principal_id}"


def workflow_lexeme(key: str, workflow: uuid.UUID | str) -> str:
    """Return the lexeme of a workflow, by its id or slug."""
    return f"{key}#{workflow}"


def document(key: str, texts: Iterable[str], marks: Iterable[str]) -> str:
    """Return the text form of a `tsvector`: the words of `texts` with their positions, and `marks` without."""
    places: dict[str, list[int]] = {}
    position = total = 0
    for text in texts:
        for word in words_in(text):
            total += 1
            position += 1
            if total > MOST_WORDS or position > _MOST_POSITIONS:
                break
            places.setdefault(word, []).append(position)
        position += _GAP
    found = [f"'{word_lexeme(key, word)}':{','.join(map(str, at))}" for word, at in places.items()]
    return " ".join([*found, *(f"'{mark}'" for mark in marks)])
