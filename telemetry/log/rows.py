"""Nodes of a log, read from its rows: leaves, and every eighth level above them.

A node between the stored levels is hashed from at most 128 stored ones, so that a proof needs at most 256 short rows of
each stored level, read in one statement: O(log n). Imports no Django.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from telemetry.tlog.hashing import node_hash
from telemetry.tlog.proofs import NodeReader
from telemetry.tlog.tree import Node, NodeId

LEVELS_APART: Final = 8

type Fetch = Callable[[str, Sequence[Any]], Sequence[tuple[Any, ...]]]
"""Function that runs a query with `%s` parameters and returns its rows."""

# OFFSET 0 makes the planner look up each range, also where statistics tell little about the log of this tenant.
_READ: Final = """
SELECT 0, l."index", l.hash
  FROM unnest(%s::bigint[], %s::bigint[]) AS w (first, before)
 CROSS JOIN LATERAL (
       SELECT "index", hash FROM telemetry_logleaf
        WHERE tenant_id = %s AND "index" >= w.first AND "index" < w.before OFFSET 0) l
UNION ALL
SELECT n.level, n."index", n.hash
  FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS w (level, first, before)
 CROSS JOIN LATERAL (
       SELECT level, "index", hash FROM telemetry_lognode
        WHERE tenant_id = %s AND level = w.level AND "index" >= w.first AND "index" < w.before OFFSET 0) n
"""
_SIZE: Final = 'SELECT coalesce(max("index") + 1, 0) FROM telemetry_logleaf WHERE tenant_id = %s'
_READ_INSTANCE: Final = """
SELECT n.level, n."index", n.hash
  FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS w (level, first, before)
  JOIN telemetry_instancenode n ON n.level = w.level AND n."index" >= w.first AND n."index" < w.before
"""
_INSTANCE_SIZE: Final = 'SELECT coalesce(max("index") + 1, 0) FROM telemetry_instancenode WHERE level = 0'

type _Kept = tuple[int, int, int]
"""A stored level, the index of the first node, and the index after the last node."""


def stored_nodes(nodes: Sequence[Node]) -> tuple[list[int], list[int], list[bytes]]:
    """Return levels, positions and hashes of the nodes that are stored as rows in addition to the leaves."""
    kept = [node for node in nodes if node.id.level and node.id.level % LEVELS_APART == 0]
    return [node.id.level for node in kept], [node.id.position for node in kept], [node.hash for node in kept]


class LogIncomplete(Exception):
    """Rows of a log are missing that existed when the log was sealed."""


def log_size(fetch: Fetch, tenant_id: uuid.UUID) -> int:
    """Return the number of leaves of the log."""
    [(size,)] = fetch(_SIZE, [tenant_id])
    return int(size)


def node_reader(fetch: Fetch, tenant_id: uuid.UUID) -> NodeReader:
    """Return a reader of the nodes of the tenant's log, for proofs and roots. Reading raises `LogIncomplete`."""

    def rows_of(ranges: Sequence[_Kept]) -> Sequence[tuple[Any, ...]]:
        leaves = [kept for kept in ranges if kept[0] == 0]
        nodes = [kept for kept in ranges if kept[0] > 0]
        return fetch(
            _READ,
            [
                *([kept[place] for kept in leaves] for place in (1, 2)),
                tenant_id,
                *([kept[place] for kept in nodes] for place in (0, 1, 2)),
                tenant_id,
            ],
        )

    return _reader(rows_of)


def instance_log_size(fetch: Fetch) -> int:
    """Return the number of leaves of the instance log."""
    [(size,)] = fetch(_INSTANCE_SIZE, [])
    return int(size)


def instance_node_reader(fetch: Fetch) -> NodeReader:
    """Return a reader of the nodes of the instance log. Reading raises `LogIncomplete`."""

    def rows_of(ranges: Sequence[_Kept]) -> Sequence[tuple[Any, ...]]:
        return fetch(_READ_INSTANCE, [[kept[place] for kept in ranges] for place in (0, 1, 2)])

    return _reader(rows_of)


def _reader(rows_of: Callable[[Sequence[_Kept]], Sequence[tuple[Any, ...]]]) -> NodeReader:
    def read(wanted: Sequence[NodeId]) -> Mapping[NodeId, bytes]:
        ranges = {node: _stored_range(node) for node in wanted}
        kept = {(level, index): bytes(value) for level, index, value in rows_of(list(ranges.values()))}
        return {node: _hashed(kept, level, first, before) for node, (level, first, before) in ranges.items()}

    return read


def _stored_range(node: NodeId) -> _Kept:
    """Return the stored level at or below the node, and the range of its nodes below the given one."""
    level = node.level - node.level % LEVELS_APART
    span = 1 << (node.level - level)
    return level, node.position * span, (node.position + 1) * span


def _hashed(kept: Mapping[tuple[int, int], bytes], level: int, first: int, before: int) -> bytes:
    try:
        row = [kept[level, index] for index in range(first, before)]
    except KeyError as error:
        raise LogIncomplete(f"node {error} of the log is missing") from None
    while len(row) > 1:
        row = [node_hash(row[place], row[place + 1]) for place in range(0, len(row), 2)]
    return row[0]
