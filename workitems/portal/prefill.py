"""Values that a link puts into a form: `?vendor=Hooli`, `?address.city=Bonn` or `?/address/city=Bonn`.

Only fields that the form shows and in which a person can type are filled in. A link fills in no constants, no tokens
and no members that conditions leave out, and it sends nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from threada_site.kernel.json.pointers import pointer_to
from workitems.portal.build import Form
from workitems.portal.entered import Entered
from workitems.portal.nodes import Node

MAX_VALUES: Final = 100
MAX_LENGTH: Final = 4_000
_MOST_ROUNDS: Final = 4


@dataclass(frozen=True, slots=True)
class Prefilled:
    """Values that a link put into a form, their pointers, and names that the form does not have."""

    entered: Entered
    pointers: frozenset[str]
    unknown: tuple[str, ...]


def prefilled(values: Sequence[tuple[str, str]], entered: Entered, build: Callable[[Entered], Form]) -> Prefilled:
    """Fill the values of a link into a form. `build` returns the form of entered values."""
    wanted = [(name[:500], text) for name, text in values[:MAX_VALUES] if len(text) <= MAX_LENGTH]
    placed: dict[str, str] = {}
    open_names = dict.fromkeys(name for name, _ in wanted)
    for _round in range(_MOST_ROUNDS):
        fields = build(entered.with_texts(placed)).fields
        added = False
        for name, text in wanted:
            node = next((fields[place] for place in _places(name) if place in fields), None)
            if node is None or node.pointer in placed:
                continue
            written = _written(node, text)
            if written is None:
                continue
            placed[node.pointer] = written
            open_names.pop(name, None)
            added = True
        if not added:
            break
    # A condition may leave out a member again, once another value is filled in.
    fields = build(entered.with_texts(placed)).fields
    kept = {place: text for place, text in placed.items() if place in fields}
    return Prefilled(entered.with_texts(kept), frozenset(kept), tuple(open_names))


def _places(name: str) -> Iterable[str]:
    """Yield the pointers that a name may mean, the most literal first."""
    if name.startswith("/"):
        yield name
        return
    yield pointer_to("", name)
    yield pointer_to("", *name.split("."))


def _written(node: Node, text: str) -> str | None:
    """Return the text that the field's element holds for a value in a link; None if it is no choice of the field."""
    if "\x00" in text or node.kind == "file":
        return None
    if node.kind == "check":
        return "on" if text.casefold() in ("true", "yes", "on", "1") else None
    if node.kind in ("choice", "choices"):
        texts = [value for value, label in node.choices if text in (value, label, json.loads(value))]
        return texts[0] if texts else None
    return text
