"""What can be said about a condition without any facts: whether it can hold, and from which others it follows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from threada_site.kernel.cel.expression import compile_tree
from threada_site.kernel.cel.tree import comparison_with_text, identity, settled

_MOST_CONJUNCTS: Final = 64


@dataclass(frozen=True, slots=True)
class Logic:
    """A condition's outline. `says` is what it says whatever the facts are; None when that depends on them.

    `conjuncts` stand for the parts that all have to hold, alike for parts that read alike: a condition whose conjuncts
    include all of another's cannot hold without the other, and with the very same ones it also fails where that fails.
    `compares` are the facts it requires to be a certain text, e.g. `("ctx.action", "pay")`.
    """

    says: bool | None
    conjuncts: frozenset[bytes]
    compares: frozenset[tuple[str, str]]


@lru_cache(maxsize=4096)
def logic_of(source: str, *, variables: tuple[str, ...]) -> Logic:
    """The outline of `source`. Raises `ExpressionError` for what does not compile."""
    tree = compile_tree(source, variables=variables)
    parts = [part for part in tree.conjuncts() if settled(part) is not True]
    if len(parts) > _MOST_CONJUNCTS:
        return Logic(settled(tree.root), frozenset({identity(tree.root)}), frozenset())
    compared = (comparison_with_text(part) for part in parts)
    return Logic(
        settled(tree.root), frozenset(map(identity, parts)), frozenset(found for found in compared if found is not None)
    )
