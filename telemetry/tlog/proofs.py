"""Inclusion and consistency proofs: built from stored nodes, and verified with tree heads only.

Building follows RFC 9162, sections 2.1.3.1 and 2.1.4.1; verification follows 2.1.3.2 and 2.1.4.2 and shares no code
with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from telemetry.tlog.hashing import EMPTY_ROOT, HASH_BYTES, node_hash
from telemetry.tlog.tree import NodeId, complete_nodes, joined

type NodeReader = Callable[[Sequence[NodeId]], Mapping[NodeId, bytes]]
"""Function that returns the hashes of complete nodes. All nodes of a proof are requested in one call."""


def inclusion_proof(index: int, size: int, read: NodeReader) -> list[bytes]:
    """Return the proof that leaf `index` is in the tree of `size` leaves: the sibling hashes of its path, at most
    64."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    return _hashes(_inclusion_ranges(index, 0, size), read)


def consistency_proof(old_size: int, size: int, read: NodeReader) -> list[bytes]:
    """Return the proof that the tree of `old_size` leaves is a prefix of the tree of `size` leaves.

    Empty for equal sizes and for size 0.
    """
    if not 0 <= old_size <= size:
        raise ValueError(f"a tree of {size} leaves did not grow out of one of {old_size}")
    if old_size in (0, size):
        return []
    return _hashes(_consistency_ranges(old_size, 0, size, whole=True), read)


def tree_root(size: int, read: NodeReader) -> bytes:
    """Return the root of the tree when it had `size` leaves."""
    return EMPTY_ROOT if size == 0 else _hashes([(0, size)], read)[0]


def inclusion_holds(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Return True if `proof` shows that the leaf hash is at `index` in the tree of `size` leaves with `root`."""
    return len(root) == HASH_BYTES and inclusion_root(leaf, index, size, proof) == root


def inclusion_root(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes | None:
    """Return the root that `proof` leads to from the leaf hash at `index` in a tree of `size` leaves, or None if the
    length of the proof does not fit (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size or not _are_hashes((leaf, *proof)):
        return None
    fn, sn, current = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            return None
        if fn & 1 or fn == sn:
            current = node_hash(sibling, current)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            current = node_hash(current, sibling)
        fn, sn = fn >> 1, sn >> 1
    return current if sn == 0 else None


def consistency_holds(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Return True if `proof` shows that the tree with `root` only added leaves to the tree with `old_root`."""
    if not 0 <= old_size <= size or not _are_hashes((old_root, root, *proof)):
        return False
    if old_size == size:
        return not proof and old_root == root and (size > 0 or root == EMPTY_ROOT)
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if len(path) < (2 if old_size & (old_size - 1) == 0 else 1):
        return False
    fn, sn = old_size - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node_hash(new, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and old == old_root and new == root


type _Range = tuple[int, int]


def _split(start: int, end: int) -> int:
    """Return the split point of the tree over these leaves: the largest power of two smaller than their number."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def _inclusion_ranges(index: int, start: int, end: int) -> list[_Range]:
    ranges: list[_Range] = []
    while end - start > 1:
        middle = _split(start, end)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def _consistency_ranges(old_size: int, start: int, end: int, *, whole: bool) -> list[_Range]:
    """SUBPROOF of RFC 9162. `whole` is True while the old tree is a complete subtree, whose root the verifier knows."""
    if old_size == end:
        return [] if whole else [(start, end)]
    middle = _split(start, end)
    if old_size <= middle:
        return [*_consistency_ranges(old_size, start, middle, whole=whole), (middle, end)]
    return [*_consistency_ranges(old_size, middle, end, whole=False), (start, middle)]


def _hashes(ranges: Sequence[_Range], read: NodeReader) -> list[bytes]:
    parts = [complete_nodes(start, end) for start, end in ranges]
    wanted = [node for nodes in parts for node in nodes]
    found = read(wanted) if wanted else {}
    return [joined([found[node] for node in nodes]) for nodes in parts]


def _are_hashes(values: Sequence[bytes]) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
