"""The text that somebody searches for, as words, phrases, exclusions and ids. Pure.

Grammar: words (each also matches as the beginning of a word), `"phrases"`, `-word` and `-"phrase"` to exclude, and ids
or their beginnings (`wi_01kb4…`). All must match. Anything else separates words.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from threada_site.kernel import errors, ids
from threada_site.kernel.errors import FieldError
from workitems.search.words import person_lexeme, word_lexeme, words_in

LONGEST: Final = 200
MOST_TERMS: Final = 12
MOST_PHRASE_WORDS: Final = 12
_PART: Final = re.compile(r'(?P<no>-?)(?:"(?P<phrase>[^"]*)"?|(?P<bare>[^\s"]+))')
_ID_PART: Final = re.compile(rf"{ids.WORK_ITEM}_([0-7][0-9a-hjkmnp-tv-z]{{0,25}})", re.IGNORECASE)
_SUFFIX_LENGTH: Final = 26
_SHORTEST_BEGINNING: Final = 2
"""Shorter words match whole words only."""


@dataclass(frozen=True, slots=True)
class Term:
    """One or several words that must follow each other. `names` is the text that is compared with people's names."""

    words: tuple[str, ...]
    is_excluded: bool
    is_phrase: bool
    names: str


@dataclass(frozen=True, slots=True)
class SearchText:
    """Parsed text. `above` and `below` bound the ids, exclusively."""

    terms: tuple[Term, ...]
    above: uuid.UUID
    below: uuid.UUID
    has_id: bool

    @property
    def is_empty(self) -> bool:
        return not self.terms and not self.has_id

    @property
    def names(self) -> list[str]:
        """Return the texts that may be names of people."""
        return [term.names for term in self.terms if len(term.names) >= _SHORTEST_BEGINNING]


def parse_search(text: str) -> SearchText:
    """Return the parsed text. Raise `InvalidRequest` for a text that is too long or only excludes."""
    if len(text) > LONGEST:
        raise _refused(f"is longer than {LONGEST} characters")
    if "\x00" in text:
        raise _refused("contains a NUL character")
    terms: list[Term] = []
    low, high, has_id = uuid.UUID(int=0), ids.LAST, False
    for part in _PART.finditer(text):
        bare = part["bare"] or ""
        bounds = None if part["no"] else _id_bounds(bare)
        if bounds is not None:
            low, high, has_id = max(low, bounds[0]), min(high, bounds[1]), True
            continue
        words = tuple(words_in(part["phrase"] or bare))
        if not words:
            continue
        if len(words) > MOST_PHRASE_WORDS:
            raise _refused(f"has a phrase of more than {MOST_PHRASE_WORDS} words")
        is_phrase = part["phrase"] is not None
        terms.append(Term(words, bool(part["no"]), is_phrase, (part["phrase"] or bare).strip()[:80].lower()))
    if len(terms) > MOST_TERMS:
        raise _refused(f"has more than {MOST_TERMS} words and phrases")
    if terms and all(term.is_excluded for term in terms):
        raise _refused("only excludes words. Add a word to search for")
    return SearchText(tuple(terms), low, high, has_id)


def as_tsqueries(
    search: SearchText, key: str, *, people: Mapping[str, Sequence[uuid.UUID]], one_of: Sequence[str] = ()
) -> list[str]:
    """Return the text forms of the `tsquery` that all must match; an empty list if every word matches.

    `people`: the principals that each of `search.names` may mean. `one_of`: lexemes of which one must be present.
    """
    parts = []
    for term in search.terms:
        alternatives = [_sequence(term, key)]
        alternatives += [f"'{person_lexeme(key, person)}'" for person in people.get(term.names, ())]
        either = f"({' | '.join(alternatives)})"
        parts.append(f"!{either}" if term.is_excluded else either)
    if one_of:
        parts.append(f"({' | '.join(f"'{lexeme}'" for lexeme in one_of)})")
    return parts


def _sequence(term: Term, key: str) -> str:
    lexemes = [f"'{word_lexeme(key, word)}'" for word in term.words]
    if not term.is_phrase and len(term.words[-1]) >= _SHORTEST_BEGINNING:
        lexemes[-1] += ":*"
    return f"({' <-> '.join(lexemes)})"


def _id_bounds(text: str) -> tuple[uuid.UUID, uuid.UUID] | None:
    """Return the bounds of the ids that begin with `text`, exclusively. None if it is no beginning of an id."""
    found = _ID_PART.fullmatch(text)
    if found is None:
        return None
    known = found[1].lower()
    missing = _SUFFIX_LENGTH - len(known)
    first = ids.parse_public_id(ids.WORK_ITEM, f"{ids.WORK_ITEM}_{known}{'0' * missing}")
    last = ids.parse_public_id(ids.WORK_ITEM, f"{ids.WORK_ITEM}_{known}{'z' * missing}")
    if first is None or last is None:
        return None
    return uuid.UUID(int=max(first.int - 1, 0)), uuid.UUID(int=min(last.int + 1, ids.LAST.int))


def _refused(problem: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(f"The search {problem}.", errors=[FieldError("?q", problem, "invalid")])
