"""SQL statements of the instance log. Call each inside `locked`, unless its docstring says otherwise.

Imports no Django.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final

import psycopg
import uuid_utils.compat

from telemetry.log.rows import instance_log_size, instance_node_reader, stored_nodes
from telemetry.log.signed_tree_heads import SignedTreeHead
from telemetry.log.store import LogStore, NewestCheckpoint
from telemetry.tlog.checkpoint import INSTANCE
from telemetry.tlog.proofs import NodeReader
from telemetry.tlog.tree import Node
from threada_site.kernel import ids

# Dequeues, copies and hashes in one statement. A queue entry whose checkpoint was deleted stays in the queue. The
# record of a tenant's deletion becomes a leaf as its checkpoints do.
_APPEND_QUEUED: Final = """
WITH due AS (
    SELECT q.id FROM telemetry_instancequeueentry q
     WHERE EXISTS (SELECT FROM telemetry_checkpoint c WHERE c.id = q.id)
        OR EXISTS (SELECT FROM tenancy_deletedtenant d WHERE d.id = q.id AND d.note <> '')
     ORDER BY q.id LIMIT %(limit)s),
taken AS (DELETE FROM telemetry_instancequeueentry q USING due WHERE q.id = due.id RETURNING q.id),
entered AS (
    INSERT INTO telemetry_instanceentry ("index", log_id, checkpoint_id, note)
    SELECT %(size)s::bigint + row_number() OVER (ORDER BY taken.id) - 1, n.log_id, taken.id, n.note
      FROM taken
     CROSS JOIN LATERAL (
           SELECT c.tenant_id AS log_id, c.note FROM telemetry_checkpoint c WHERE c.id = taken.id
            UNION ALL
           SELECT d.log_id, d.note FROM tenancy_deletedtenant d WHERE d.id = taken.id) n
    RETURNING "index", note),
sealed AS (
    INSERT INTO telemetry_instancenode (level, "index", hash)
    SELECT 0, "index", sha256(decode('00', 'hex') || convert_to(note, 'UTF8')) FROM entered
    RETURNING "index", hash)
SELECT hash FROM sealed ORDER BY "index"
"""
# The first checkpoint of a log without an entry becomes a leaf even if it is a heartbeat.
_QUEUE: Final = """
INSERT INTO telemetry_instancequeueentry (id)
SELECT %(id)s WHERE %(has_changed)s OR NOT EXISTS (SELECT FROM telemetry_instanceentry WHERE log_id = %(tenant)s)
"""
_INSERT_NODES: Final = """
INSERT INTO telemetry_instancenode (level, "index", hash)
SELECT n.* FROM unnest(%s::smallint[], %s::bigint[], %s::bytea[]) AS n
"""
_NEWEST: Final = "SELECT size, note, signed_at FROM telemetry_instancecheckpoint ORDER BY id DESC LIMIT 1"
_NEWEST_ID: Final = "SELECT id FROM telemetry_instancecheckpoint ORDER BY id DESC LIMIT 1"
_SIGNED: Final = """
INSERT INTO telemetry_instancecheckpoint (id, size, root, note, verifier_keys, signed_at)
VALUES (%s, %s, %s, %s, %s, %s)
"""
_ALARM: Final = """
INSERT INTO telemetry_instancealarm (id, kind, signed_size, signed_root, found_size, found_root, found_at, reason)
VALUES (%s, %s, %s, %s, %s, %s, %s, '') ON CONFLICT DO NOTHING
"""
_CLOSE_ALARM: Final = (
    "UPDATE telemetry_instancealarm SET acknowledged_at = %s, reason = %s WHERE acknowledged_at IS NULL"
)


class InstanceStore:
    """Access to the instance log through the sealer's connection."""

    def __init__(self, store: LogStore) -> None:
        self._store = store

    @property
    def _connection(self) -> psycopg.Connection[Any]:
        return self._store.connection

    def locked(self, *, waits: bool = False) -> AbstractContextManager[bool]:
        """Open a transaction with the exclusive lock of the log. Yields False if another sealer has the lock."""
        return self._store.locked(INSTANCE, waits=waits)

    def size(self) -> int:
        return instance_log_size(self._fetch)

    def reader(self) -> NodeReader:
        return instance_node_reader(self._fetch)

    def queue(self, checkpoint_id: uuid.UUID, *, tenant_id: uuid.UUID, has_changed: bool) -> None:
        """Queue a tenant's checkpoint in the transaction that inserts it. Heartbeats (no change) become no leaves."""
        self._connection.execute(_QUEUE, {"id": checkpoint_id, "tenant": tenant_id, "has_changed": has_changed})

    def append_queued(self, *, size: int, limit: int) -> list[bytes]:
        """Append the oldest queued checkpoints after the `size` existing leaves. Return their leaf hashes in order."""
        rows = self._connection.execute(_APPEND_QUEUED, {"size": size, "limit": limit}).fetchall()
        return [row[0] for row in rows]

    def store_nodes(self, nodes: Sequence[Node]) -> None:
        """Insert the completed nodes whose level is a stored level."""
        levels, places, hashes = stored_nodes(nodes)
        if levels:
            self._connection.execute(_INSERT_NODES, [levels, places, hashes])

    def newest_checkpoint(self) -> NewestCheckpoint | None:
        rows = self._fetch(_NEWEST, ())
        return NewestCheckpoint(rows[0][0], rows[0][1].partition("\n")[0], rows[0][2]) if rows else None

    def newest_note(self) -> tuple[int, str, datetime] | None:
        """Return size, note and time of the newest checkpoint. Opens its own transaction."""
        with self._store.platform_transaction():
            rows = self._fetch(_NEWEST, ())
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    def add_checkpoint(self, tree_head: SignedTreeHead) -> None:
        """Insert a signed checkpoint as the newest one."""
        rows = self._fetch(_NEWEST_ID, ())
        values = [
            ids.new_uuid_after(rows[0][0] if rows else None),
            tree_head.size,
            tree_head.root,
            tree_head.note,
            tree_head.verifier_keys,
            tree_head.at,
        ]
        self._connection.execute(_SIGNED, values)

    def raise_alarm(
        self, kind: str, *, signed: tuple[int, bytes], found: tuple[int, bytes | None], at: datetime
    ) -> None:
        """Insert an alarm, unless one is open."""
        self._connection.execute(_ALARM, [uuid_utils.compat.uuid7(), kind, *signed, *found, at])

    def close_alarm(self, *, reason: str, at: datetime) -> bool:
        """Close the open alarm. Return True if there was one."""
        return self._connection.execute(_CLOSE_ALARM, [at, reason]).rowcount > 0

    def _fetch(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, parameters or None).fetchall()
