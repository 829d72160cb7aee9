"""A Merkle tree that only appends: it stores the peaks, one hash per set bit of its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from telemetry.tlog.hashing import EMPTY_ROOT, HASH_BYTES, node_hash


class NodeId(NamedTuple):
    """A complete subtree over the leaves from `position * 2**level` to `(position + 1) * 2**level`, exclusive.

    Level 0 is a leaf.
    """

    level: int
    position: int


class Node(NamedTuple):
    """A complete subtree and its hash, which never changes."""

    id: NodeId
    hash: bytes


def complete_nodes(start: int, end: int) -> list[NodeId]:
    """Return the largest complete subtrees that cover the leaves from `start` to `end` (exclusive), left to right."""
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
    """Return the root over complete subtrees of decreasing size, left to right."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


class CompactRange:
    """A tree of `size` leaves, with the data needed to append and to compute the root.

    `peaks` are the hashes of `complete_nodes(0, size)`, in that order. Every append returns the nodes that it
    completed; any proof of any later size can be built from those (`telemetry.tlog.proofs`).
    """

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size < 0 or len(peaks) != size.bit_count() or any(len(peak) != HASH_BYTES for peak in peaks):
            raise ValueError(f"a tree of {size} leaves has other peaks than these {len(peaks)}")
        self._size = size
        self._peaks = list(peaks)

    @property
    def size(self) -> int:
        """Return the number of leaves."""
        return self._size

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """Return the hashes of `complete_nodes(0, size)`."""
        return tuple(self._peaks)

    def append(self, leaf: bytes) -> list[Node]:
        """Add one leaf by its hash. Return the completed nodes from the leaf upwards."""
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
        """Return the Merkle tree hash of all leaves."""
        return joined(self._peaks)
