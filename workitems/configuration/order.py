"""Order of application of documents: by kind, and policies after those whose rules they override."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from workitems.configuration.kinds import KINDS
from workitems.configuration.pack_contents import Placed

_DEEPEST: Final = 100
"""Policies of which each overrides the next, that are put in order."""


def in_order(documents: Iterable[Placed]) -> list[Placed]:
    """Return the documents in the order of application: by kind; policies after those whose rules they override."""
    known = list(documents)
    depth = _override_depths(known)
    return sorted(known, key=lambda document: (_rank(document), depth.get(id_of(document), 0)))


def kind_of(document: Placed) -> str:
    """Return the kind of a document; empty if it has none."""
    kind = document.value.get("kind") if isinstance(document.value, dict) else None
    return kind if isinstance(kind, str) else ""


def id_of(document: Placed) -> str:
    """Return the id of a document; empty if it has none."""
    name = document.value.get("id") if isinstance(document.value, dict) else None
    return name if isinstance(name, str) else ""


def _rank(document: Placed) -> int:
    kind = kind_of(document)
    return list(KINDS).index(kind) if kind in KINDS else len(KINDS)


def _override_depths(documents: Iterable[Placed]) -> dict[str, int]:
    """Return how many policies each policy overrides, in sequence. Cycles are cut here and reported on publishing."""
    names = {id_of(document): overridden(document) for document in documents if kind_of(document) == "Policy"}
    depths: dict[str, int] = {}

    def depth(slug: str, above: frozenset[str]) -> int:
        if slug in above or slug not in names or len(above) == _DEEPEST:
            return 0
        if slug not in depths:
            depths[slug] = 1 + max((depth(other, above | {slug}) for other in names[slug]), default=-1)
        return depths[slug]

    for slug in names:
        depth(slug, frozenset())
    return depths


def overridden(document: Placed) -> set[str]:
    """Return the ids of the other policies whose rules a policy overrides, as far as the document can be read."""
    spec = document.value.get("spec")
    rules = spec.get("rules") if isinstance(spec, Mapping) else None
    found: set[str] = set()
    for rule in rules if isinstance(rules, list) else ():
        names = rule.get("overrides") if isinstance(rule, Mapping) else None
        found |= {str(name).partition("/")[0] for name in (names if isinstance(names, list) else ())}
    return found - {id_of(document)}
