"""Static analysis of conditions without facts: can a condition hold, and which others does it imply."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from threada_site.kernel.cel.expression import compile_tree
from threada_site.kernel.cel.tree import comparison_with_text, identity, paths_read, settled, texts_compared_with

_MOST_CONJUNCTS: Final = 64


@dataclass(frozen=True, slots=True)
class Logic:
    """Outline of a condition. `says` is its value if it does not depend on facts, else None.

    `conjuncts` identify the parts that all must hold; equal parts have equal identities. A condition whose conjuncts
    include all of another's implies the other; with equal conjuncts, both always have the same value. `compares` are
    facts that must be equal to a text, e.g. `("ctx.action", "pay")`.
    """

    says: bool | None
    conjuncts: frozenset[bytes]
    compares: frozenset[tuple[str, str]]


@lru_cache(maxsize=4096)
def logic_of(source: str, *, variables: tuple[str, ...]) -> Logic:
    """Return the outline of `source`. Raise `ExpressionError` if it does not compile."""
    tree = compile_tree(source, variables=variables)
    parts = [part for part in tree.conjuncts() if settled(part) is not True]
    if len(parts) > _MOST_CONJUNCTS:
        return Logic(settled(tree.root), frozenset({identity(tree.root)}), frozenset())
    compared = (comparison_with_text(part) for part in parts)
    return Logic(
        settled(tree.root), frozenset(map(identity, parts)), frozenset(found for found in compared if found is not None)
    )


@lru_cache(maxsize=4096)
def compared_with(source: str, fact: str, *, variables: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    """Return what `source` compares `fact` with, as `texts_compared_with`. Raise `ExpressionError`."""
    return frozenset(texts_compared_with(compile_tree(source, variables=variables).root, fact))


@lru_cache(maxsize=4096)
def paths_of(source: str, variable: str, *, variables: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """Return the paths that `source` reads or tests of `variable`. Raise `ExpressionError`."""
    read, tested = paths_read(compile_tree(source, variables=variables).root, variable)
    return frozenset((*read, *tested))


@lru_cache(maxsize=4096)
def unguarded_reads(source: str, variable: str, *, variables: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """Return the paths that `source` reads from `variable` without testing for them. Raise `ExpressionError`.

    A test anywhere in the expression counts, also of a part of the path.
    """
    read, tested = paths_read(compile_tree(source, variables=variables).root, variable)
    return frozenset(path for path in read if not any(path[: len(one)] == one[: len(path)] for one in tested))
