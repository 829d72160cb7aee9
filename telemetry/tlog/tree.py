"""Appending to a Merkle tree that is kept elsewhere: only its peaks are held, one hash a set bit of its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from telemetry.tlog.hashing import EMPTY_ROOT, HASH_BYTES, node_hash


class NodeId(NamedTuple):
    """A complete subtree: leaves `position * 2**level` to before `(position + 1) * 2**level`; level 0 is a leaf."""

    level: int
    position: int


class Node(NamedTuple):
    """A complete subtree and its hash, which never changes once the tree has grown past it."""

    id: NodeId
    hash: bytes


def complete_nodes(start: int, end: int) -> list[NodeId]:
    """The largest complete subtrees that together are the leaves from `start` to before `end`, left to right."""
    if not 0 <= start <= end:
        raise ValueError(f"no leaves lie from {start} to before {end}")
    left, right = [], []
    level = 0
    while start < end:
        if start & 1:
            left.append(NodeId(level, start))
            start += 1
        if end & 1:
            end -= 1
            right.append(NodeId(level, end))
        start, end, level = start >> 1, end >> 1, level + 1
    return left + right[::-1]


def joined(hashes: Sequence[bytes]) -> bytes:
    """The root over complete subtrees of falling size, left to right."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


class CompactRange:
    """A tree of `size` leaves, as far as appending to it and stating its root need it.

    `peaks` are the hashes of `complete_nodes(0, size)`, in that order. Every append hands back the nodes that it
    completed; whoever keeps those can make any proof about any later size (`telemetry.tlog.proofs`).
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size < 0 or len(peaks) != size.bit_count() or any(len(peak) != HASH_BYTES for peak in peaks):
            raise ValueError(f"a tree of {size} leaves has other peaks than these {len(peaks)}")
        self._size = size
        self._peaks = list(peaks)

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return self._size

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The hashes of `complete_nodes(0, size)`."""
        return tuple(self._peaks)

    def append(self, leaf: bytes) -> list[Node]:
        """Add one leaf by its hash; the nodes it completes, itself first, then upwards."""
        if len(leaf) != HASH_BYTES:
            raise ValueError(f"a leaf hash has {HASH_BYTES} bytes, not {len(leaf)}")
        level, index, value = 0, self._size, leaf
        completed = [Node(NodeId(0, index), leaf)]
        while index & 1:
            value = node_hash(self._peaks.pop(), value)
            level, index = level + 1, index >> 1
            completed.append(Node(NodeId(level, index), value))
        self._peaks.append(value)
        self._size += 1
        return completed

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves; of none, the hash of nothing."""
        return joined(self._peaks)
