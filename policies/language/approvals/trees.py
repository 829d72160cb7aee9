"""The tree of an approval rule: required approvers as `all` / `any` over leaves.

A leaf requires `count` different people of one kind. Each person counts once in the whole tree: `all` over two leaves
always requires different people, and the same leaf twice under `all` equals one leaf with the sum of both counts.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from threada_site.kernel.errors import PolicyDocumentInvalid
from threada_site.kernel.json.canonical import canonical_bytes

type LeafKind = Literal["role", "group", "user", "scope"]
LEAF_KINDS: Final[tuple[LeafKind, ...]] = ("role", "group", "user", "scope")
MAX_DEMANDS: Final = 128


@dataclass(frozen=True, slots=True)
class Leaf:
    """A requirement: `count` different people with a role, group or scope on the workflow, or one named user.

    `user` contains the name of the principal, which is unique in its tenant.
    """

    kind: LeafKind
    name: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class AllOf:
    """All parts are required."""

    of: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the parts is required."""

    of: tuple[Node, ...]


type Node = Leaf | AllOf | AnyOf
type Demand = tuple[Leaf, ...]


def leaves(node: Node) -> tuple[Leaf, ...]:
    """Return the leaves of the tree as written, from left to right."""
    if isinstance(node, Leaf):
        return (node,)
    return tuple(leaf for part in node.of for leaf in leaves(part))


def canonical_node(node: Node) -> Node:
    """Return the canonical form: nested `all` and `any` flattened, duplicates merged, parts in a fixed order."""
    if isinstance(node, Leaf):
        return node
    if isinstance(node, AllOf):
        return all_of(all_parts(node))
    parts: set[Node] = set()
    for part in map(canonical_node, node.of):
        parts.update(part.of if isinstance(part, AnyOf) else (part,))
    return parts.pop() if len(parts) == 1 else AnyOf(tuple(sorted(parts, key=_order)))


def conjunction(trees: Sequence[Node]) -> Node:
    """Return one tree that requires all `trees`. Leaves that occur in several trees occur once, with the largest count.

    The operation is commutative and associative.
    """
    largest: Counter[Node] = Counter()
    for tree in trees:
        largest |= all_parts(tree)
    return all_of(largest)


def all_of(parts: Counter[Node]) -> Node:
    """Return `all` over `parts`. The amount of a leaf is its count; the amount of another node is its repetitions."""
    nodes: list[Node] = []
    for part, amount in parts.items():
        nodes.extend([Leaf(part.kind, part.name, amount)] if isinstance(part, Leaf) else [part] * amount)
    return nodes[0] if len(nodes) == 1 else AllOf(tuple(sorted(nodes, key=_order)))


def all_parts(node: Node) -> Counter[Node]:
    """Return the conjuncts of `node`: leaves (key with count 1, amount is the sum) and canonical `any` nodes."""
    if isinstance(node, Leaf):
        return Counter({Leaf(node.kind, node.name): node.count})
    if isinstance(node, AllOf):
        parts: Counter[Node] = Counter()
        for part in node.of:
            parts.update(all_parts(part))
        return parts
    single = canonical_node(node)
    return Counter({single: 1}) if isinstance(single, AnyOf) else all_parts(single)


def _order(node: Node) -> tuple[str, str, int, bytes]:
    """Return the sort key: leaves first, by kind, name and count; then nested nodes, by canonical text."""
    if isinstance(node, Leaf):
        return node.kind, node.name, node.count, b""
    return "~", "", 0, canonical_bytes(node_to_json(node))


@functools.lru_cache(maxsize=1024)
def demands(node: Node) -> tuple[Demand, ...]:
    """Return the minimal ways to satisfy the tree, each as leaves to be filled by different people.

    Raises `PolicyDocumentInvalid` if there are more than 128: vote counting searches among them.
    """
    return tuple(
        tuple(Leaf(kind, name, count) for (kind, name), count in sorted(ways.items())) for ways in _alternatives(node)
    )


type _Alternative = dict[tuple[LeafKind, str], int]


def _alternatives(node: Node) -> list[_Alternative]:
    if isinstance(node, Leaf):
        return [{(node.kind, node.name): node.count}]
    parts = [_alternatives(part) for part in node.of]
    if isinstance(node, AnyOf):
        return _least([way for part in parts for way in part])
    ways: list[_Alternative] = [{}]
    for part in parts:
        if len(ways) * len(part) > MAX_DEMANDS * 8:
            raise _too_many()
        ways = _least([_sum(one, other) for one in ways for other in part])
    return ways


def _sum(one: _Alternative, other: _Alternative) -> _Alternative:
    return one | {key: one.get(key, 0) + count for key, count in other.items()}


def _least(ways: list[_Alternative]) -> list[_Alternative]:
    """Return `ways` without those that require at least as much as another one."""
    kept: list[_Alternative] = []
    for way in sorted(ways, key=lambda way: (sum(way.values()), sorted(way.items()))):
        if not any(all(way.get(key, 0) >= count for key, count in other.items()) for other in kept):
            kept.append(way)
            if len(kept) > MAX_DEMANDS:
                raise _too_many()
    return kept


def _too_many() -> PolicyDocumentInvalid:
    return PolicyDocumentInvalid(
        f"The approval can be satisfied in more than {MAX_DEMANDS} ways. Use fewer `any` under `all`."
    )


def node_to_json(node: Node) -> dict[str, Any]:
    """Return the node in document form: `{"role": "finance", "count": 2}`, `{"all": […]}`, `{"any": […]}`."""
    if isinstance(node, Leaf):
        return {node.kind: node.name, "count": node.count}
    return {"all" if isinstance(node, AllOf) else "any": [node_to_json(part) for part in node.of]}


def node_from_json(value: Mapping[str, Any]) -> Node:
    """Return the node that `node_to_json` serialized. Not for documents; see `parse_approvals`."""
    if "all" in value:
        return AllOf(tuple(map(node_from_json, value["all"])))
    if "any" in value:
        return AnyOf(tuple(map(node_from_json, value["any"])))
    kind = next(kind for kind in LEAF_KINDS if kind in value)
    return Leaf(kind, value[kind], value.get("count", 1))
