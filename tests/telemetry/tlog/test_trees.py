"""Trees and proofs, compared with published vectors, an independent implementation, and each other."""

from __future__ import annotations

import aics_tlog
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.tlog.hashing import EMPTY_ROOT, leaf_hash, node_hash
from telemetry.tlog.proofs import consistency_holds, inclusion_holds, inclusion_proof, tree_root
from telemetry.tlog.tree import CompactRange, NodeId, complete_nodes
from tests.telemetry.tlog.logs import (
    RFC6962_CONSISTENCY,
    RFC6962_INCLUSION,
    RFC6962_LEAVES,
    RFC6962_ROOTS,
    Log,
)

SIZES = 70


@pytest.fixture(scope="module")
def log() -> Log:
    return Log.of([b"entry %d" % number for number in range(SIZES)])


@pytest.fixture(scope="module")
def theirs(log: Log) -> aics_tlog.MerkleTree:
    return aics_tlog.MerkleTree(log.entries)


def test_the_published_vectors() -> None:
    log = Log()
    assert CompactRange().root().hex() == RFC6962_ROOTS[0]
    for leaf, root in zip(RFC6962_LEAVES, RFC6962_ROOTS[1:], strict=True):
        log.append(leaf)
        assert log.tree.root().hex() == root
    for (index, size), proof in RFC6962_INCLUSION.items():
        assert [value.hex() for value in log.inclusion(index, size)] == proof
    for (old, size), proof in RFC6962_CONSISTENCY.items():
        assert [value.hex() for value in log.consistency(old, size)] == proof


def test_hashes_keep_leaves_and_nodes_apart() -> None:
    assert leaf_hash(b"").hex() == RFC6962_ROOTS[1]
    assert node_hash(leaf_hash(b""), leaf_hash(b"\0")).hex() == RFC6962_ROOTS[2]
    assert leaf_hash(leaf_hash(b"") + leaf_hash(b"\0")) != node_hash(leaf_hash(b""), leaf_hash(b"\0"))


def test_every_root_and_inclusion_is_what_the_other_implementation_makes_and_takes(
    log: Log, theirs: aics_tlog.MerkleTree
) -> None:
    for size in range(SIZES + 1):
        root = log.root(size)
        assert root == theirs.root(size)
        for index in range(size):
            proof = log.inclusion(index, size)
            assert proof == theirs.inclusion_proof(index, size)
            assert inclusion_holds(leaf_hash(log.entries[index]), index, size, proof, root)
            assert aics_tlog.verify_leaf_inclusion(log.entries[index], index, size, proof, root)


def test_every_consistency_is_what_the_other_implementation_makes_and_takes(
    log: Log, theirs: aics_tlog.MerkleTree
) -> None:
    roots = [log.root(size) for size in range(SIZES + 1)]
    for size in range(SIZES + 1):
        for old in range(size + 1):
            proof = log.consistency(old, size)
            assert proof == theirs.consistency_proof(old, size)
            assert consistency_holds(old, roots[old], size, roots[size], proof)
            assert aics_tlog.verify_consistency(old, size, roots[old], roots[size], proof)


@given(cut=st.integers(0, 200), added=st.integers(0, 200))
def test_a_tree_goes_on_from_its_peaks(cut: int, added: int) -> None:
    whole = Log.of([b"%d" % number for number in range(cut + added)])
    begun = Log.of(whole.entries[:cut])
    resumed = CompactRange(cut, [begun.nodes[node] for node in complete_nodes(0, cut)])
    assert resumed.peaks == begun.tree.peaks
    completed = dict(begun.nodes)
    for entry in whole.entries[cut:]:
        completed.update(resumed.append(leaf_hash(entry)))
    assert (resumed.size, resumed.root(), completed) == (whole.tree.size, whole.tree.root(), whole.nodes)


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_complete_nodes_cover_their_leaves_once_and_in_order(first: int, second: int) -> None:
    start, end = sorted((first, second))
    at = start
    for level, index in complete_nodes(start, end):
        assert index << level == at
        at += 1 << level
    assert at == end


def test_a_proof_asks_for_all_its_nodes_at_once(log: Log) -> None:
    asked: list[list[NodeId]] = []

    def read(nodes: list[NodeId]) -> dict[NodeId, bytes]:
        asked.append(list(nodes))
        return {node: log.nodes[node] for node in nodes}

    inclusion_proof(3, SIZES, read)  # type: ignore[arg-type]
    tree_root(SIZES, read)  # type: ignore[arg-type]
    assert [len(nodes) for nodes in asked] == [8, 3]


def test_impossible_sizes_and_indexes_are_refused(log: Log) -> None:
    for index, size in ((5, 5), (-1, 5), (0, 0)):
        with pytest.raises(ValueError, match="has no leaf"):
            log.inclusion(index, size)
    for old, size in ((6, 5), (-1, 5)):
        with pytest.raises(ValueError, match="did not grow out of"):
            log.consistency(old, size)
    with pytest.raises(ValueError, match="other peaks"):
        CompactRange(3, [EMPTY_ROOT])
    with pytest.raises(ValueError, match="32 bytes"):
        CompactRange().append(b"short")
    with pytest.raises(ValueError, match="no leaves"):
        complete_nodes(3, 2)


def test_consistency_of_empty_and_equal_trees() -> None:
    some = leaf_hash(b"x")
    assert consistency_holds(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    assert consistency_holds(0, EMPTY_ROOT, 1, some, [])
    assert consistency_holds(1, some, 1, some, [])
    assert not consistency_holds(0, some, 1, some, [])
    assert not consistency_holds(0, some, 0, some, [])
    assert not consistency_holds(1, some, 1, EMPTY_ROOT, [])
    assert not consistency_holds(1, some, 1, some, [some])
    assert not consistency_holds(2, some, 1, some, [])
    assert not consistency_holds(1, some, 2, some, [])
    assert not consistency_holds(3, some, 4, some, [])
    assert not inclusion_holds(some, 0, 1, [some], some)
    assert not inclusion_holds(some, 0, 0, [], some)
    assert not inclusion_holds(some, 1, 1, [], some)
    assert not inclusion_holds(b"", 0, 1, [], b"")
