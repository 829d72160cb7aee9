"""The order of an approval rule: a plain tree, consecutive stages, or several merged rules.

Order decides whom a step asks now. It never increases the number of approvers: `whole` is the requirement without
order, and each person counts once in it.
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
    """Consecutive stages. A stage opens when all earlier stages are satisfied, and stays open."""

    of: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """Several rules that apply at the same time, some with stages. Identical requirements are asked once."""

    of: tuple[Node | InOrder, ...]


type Tree = Node | InOrder | Together
type Track = tuple[Node, ...]
type Opened = tuple[int, ...]
"""Number of open stages for each of `tracks`."""


def tracks(tree: Tree) -> tuple[Track, ...]:
    """Return the sequences of stages that run in parallel; a tree without order is a track of one stage."""
    if isinstance(tree, Together):
        return tuple(part.of if isinstance(part, InOrder) else (part,) for part in tree.of)
    return (tree.of,) if isinstance(tree, InOrder) else ((tree,),)


def has_stages(tree: Tree) -> bool:
    """Return True if the tree has a track with more than one stage."""
    return any(len(track) > 1 for track in tracks(tree))


@functools.lru_cache(maxsize=1024)
def whole(tree: Tree) -> Node:
    """Return the full requirement of the tree, without order."""
    if isinstance(tree, InOrder):
        return canonical_node(AllOf(tree.of))
    if isinstance(tree, Together):
        return conjunction([whole(part) for part in tree.of])
    return tree


def leaves_of(tree: Tree) -> tuple[Leaf, ...]:
    """Return the leaves of all stages as written."""
    return tuple(leaf for track in tracks(tree) for stage in track for leaf in leaves(stage))


@functools.lru_cache(maxsize=4096)
def opened_part(tree: Tree, opened: Opened) -> Node:
    """Return the requirement that may be voted on now.

    It consists of the open stages, and of the leaves of unordered rules that no closed stage contains. If one rule
    places a leaf in a later stage and another rule contains it without order, the order applies.
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
    """Return the current stage, counted from 1, and the number of stages of the track that is furthest behind.

    A tree without stages is in stage 1 of 1.
    """
    ordered = [(len(track) - count, count, len(track)) for track, count in zip(tracks(tree), opened, strict=True)]
    _, current, total = max(ordered, key=lambda entry: (entry[0], entry[2]))
    return current, total


def ranks(tree: Tree) -> Mapping[tuple[LeafKind, str], int]:
    """Return the earliest stage of each leaf. Voters are assigned to the earliest leaf they are eligible for."""
    first: dict[tuple[LeafKind, str], int] = {}
    for track in tracks(tree):
        for rank, stage in enumerate(track):
            for leaf in leaves(stage):
                first[_key(leaf)] = min(rank, first.get(_key(leaf), rank))
    return first


def together(trees: Sequence[Tree]) -> Tree:
    """Return one tree that requires all `trees`. Their order does not matter."""
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
    """Return the canonical form of the tree: same requirement, same order of stages."""
    if isinstance(tree, InOrder):
        stages = tuple(map(canonical_node, tree.of))
        return stages[0] if len(stages) == 1 else InOrder(stages)
    if isinstance(tree, Together):
        parts = {canonical_tree(part) for part in tree.of}
        ordered = sorted(parts, key=lambda part: canonical_bytes(tree_to_json(part)))
        return ordered[0] if len(ordered) == 1 else Together(tuple(ordered))  # type: ignore[arg-type]
    return canonical_node(tree)


def tree_to_json(tree: Tree) -> dict[str, Any]:
    """Return the tree in document form; stages are `{"stages": […]}`, merged rules `{"together": […]}`."""
    if isinstance(tree, InOrder):
        return {"stages": [node_to_json(stage) for stage in tree.of]}
    if isinstance(tree, Together):
        return {"together": [tree_to_json(part) for part in tree.of]}
    return node_to_json(tree)


def tree_from_json(value: Mapping[str, Any]) -> Tree:
    """Return the tree that `tree_to_json` serialized. Not for documents; see `parse_approvals`."""
    if "stages" in value:
        return InOrder(tuple(map(node_from_json, value["stages"])))
    if "together" in value:
        return Together(tuple(tree_from_json(part) for part in value["together"]))  # type: ignore[misc]
    return node_from_json(value)


def _key(leaf: Leaf) -> tuple[LeafKind, str]:
    return leaf.kind, leaf.name


def _without(node: Node, closed: set[tuple[LeafKind, str]]) -> Node | None:
    """Return `node` without the leaves in `closed`, or None if nothing is left."""
    if isinstance(node, Leaf):
        return None if _key(node) in closed else node
    parts = [part for part in (_without(part, closed) for part in node.of) if part is not None]
    if not parts:
        return None
    return all_of(all_parts(AllOf(tuple(parts)))) if isinstance(node, AllOf) else AnyOf(tuple(parts))
