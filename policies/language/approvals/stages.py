"""What an approval rule asks, with its order: a tree at once, stages one by one, or several rules together.

Order says whom a step asks now. It never says that more people are needed: `whole` is the demand irrespective of it,
and one person counts once in all of it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.language.approvals.trees import (
    AllOf,
    AnyOf,
    Leaf,
    LeafKind,
    Node,
    all_of,
    all_parts,
    canonical_node,
    conjunction,
    leaves,
    node_from_json,
    node_to_json,
)
from threada_site.kernel.json.canonical import canonical_bytes


@dataclass(frozen=True, slots=True)
class InOrder:
    """Stages: each opens once those before it are filled. What opened stays open."""

    of: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """Rules that hold at the same time, some with stages. What several of them ask alike is asked once."""

    of: tuple[Node | InOrder, ...]


type Tree = Node | InOrder | Together
type Track = tuple[Node, ...]
type Opened = tuple[int, ...]
"""Of each of `tracks`, how many of its stages are open."""


def tracks(tree: Tree) -> tuple[Track, ...]:
    """The sequences of stages that run side by side; a tree without order is a track of one stage."""
    if isinstance(tree, Together):
        return tuple(part.of if isinstance(part, InOrder) else (part,) for part in tree.of)
    return (tree.of,) if isinstance(tree, InOrder) else ((tree,),)


def has_stages(tree: Tree) -> bool:
    """Whether it asks anybody later than others."""
    return any(len(track) > 1 for track in tracks(tree))


@functools.lru_cache(maxsize=1024)
def whole(tree: Tree) -> Node:
    """Everything the tree asks for, irrespective of order."""
    if isinstance(tree, InOrder):
        return canonical_node(AllOf(tree.of))
    if isinstance(tree, Together):
        return conjunction([whole(part) for part in tree.of])
    return tree


def leaves_of(tree: Tree) -> tuple[Leaf, ...]:
    """All leaves as written, of all stages."""
    return tuple(leaf for track in tracks(tree) for stage in track for leaf in leaves(stage))


@functools.lru_cache(maxsize=4096)
def opened_part(tree: Tree, opened: Opened) -> Node:
    """What may be answered now: the stages that opened, and of rules without order what no closed stage asks for.

    Where one rule puts somebody into a later stage and another asks for the same one at any time, the order holds.
    """
    if not isinstance(tree, InOrder | Together):
        return tree
    stages = tracks(tree)
    ordered = [(track, count) for track, count in zip(stages, opened, strict=True) if len(track) > 1]
    open_now = {_key(leaf) for track, count in ordered for stage in track[:count] for leaf in leaves(stage)}
    still_closed = {_key(leaf) for track, _ in ordered for stage in track for leaf in leaves(stage)} - open_now
    parts: list[Node] = [canonical_node(AllOf(track[:count])) for track, count in ordered]
    left = [_without(track[0], still_closed) for track in stages if len(track) == 1]
    return conjunction([*parts, *(part for part in left if part is not None)])


def stage_of(tree: Tree, opened: Opened) -> tuple[int, int]:
    """The stage that is asked now, counted from 1, and how many there are; of several tracks the one furthest behind.

    A tree without stages is in stage 1 of 1.
    """
    ordered = [(len(track) - count, count, len(track)) for track, count in zip(tracks(tree), opened, strict=True)]
    _, current, total = max(ordered, key=lambda entry: (entry[0], entry[2]))
    return current, total


def ranks(tree: Tree) -> Mapping[tuple[LeafKind, str], int]:
    """In which stage each leaf is asked first: people are placed at the earliest that they can fill."""
    first: dict[tuple[LeafKind, str], int] = {}
    for track in tracks(tree):
        for rank, stage in enumerate(track):
            for leaf in leaves(stage):
                first[_key(leaf)] = min(rank, first.get(_key(leaf), rank))
    return first


def together(trees: Sequence[Tree]) -> Tree:
    """All `trees` at once; their order makes no difference."""
    parts = [part for tree in trees for part in (tree.of if isinstance(tree, Together) else (tree,))]
    ordered: set[InOrder] = set()
    plain: list[Node] = []
    for part in map(canonical_tree, parts):
        if isinstance(part, InOrder):
            ordered.add(part)
        elif not isinstance(part, Together):
            plain.append(part)
    if not ordered:
        return conjunction(plain)
    if len(ordered) == 1 and not plain:
        return ordered.pop()
    return canonical_tree(Together((*ordered, conjunction(plain)) if plain else tuple(ordered)))


def canonical_tree(tree: Tree) -> Tree:
    """The same demand in the same order, in one form."""
    if isinstance(tree, InOrder):
        stages = tuple(map(canonical_node, tree.of))
        return stages[0] if len(stages) == 1 else InOrder(stages)
    if isinstance(tree, Together):
        parts = {canonical_tree(part) for part in tree.of}
        ordered = sorted(parts, key=lambda part: canonical_bytes(tree_to_json(part)))
        return ordered[0] if len(ordered) == 1 else Together(tuple(ordered))  # type: ignore[arg-type]
    return canonical_node(tree)


def tree_to_json(tree: Tree) -> dict[str, Any]:
    """The tree as documents write it; stages are `{"stages": […]}`, rules at once `{"together": […]}`."""
    if isinstance(tree, InOrder):
        return {"stages": [node_to_json(stage) for stage in tree.of]}
    if isinstance(tree, Together):
        return {"together": [tree_to_json(part) for part in tree.of]}
    return node_to_json(tree)


def tree_from_json(value: Mapping[str, Any]) -> Tree:
    """What `tree_to_json` wrote. For stored rules alone: documents are read by `parse_approvals`."""
    if "stages" in value:
        return InOrder(tuple(map(node_from_json, value["stages"])))
    if "together" in value:
        return Together(tuple(tree_from_json(part) for part in value["together"]))  # type: ignore[misc]
    return node_from_json(value)


def _key(leaf: Leaf) -> tuple[LeafKind, str]:
    return leaf.kind, leaf.name


def _without(node: Node, closed: set[tuple[LeafKind, str]]) -> Node | None:
    """`node` without the leaves of `closed`; None when nothing is left of it."""
    if isinstance(node, Leaf):
        return None if _key(node) in closed else node
    parts = [part for part in (_without(part, closed) for part in node.of) if part is not None]
    if not parts:
        return None
    return all_of(all_parts(AllOf(tuple(parts)))) if isinstance(node, AllOf) else AnyOf(tuple(parts))
