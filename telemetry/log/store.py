"""SQL statements of the sealer. Call each method inside `locked`, the transaction of one tenant's log.

Imports no Django.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

import psycopg
import uuid_utils.compat

from telemetry.log.rows import log_size, node_reader, stored_nodes
from telemetry.log.signed_tree_heads import SignedTreeHead
from telemetry.tlog.checkpoint import Checkpoint
from telemetry.tlog.note import SignedNote
from telemetry.tlog.proofs import NodeReader
from telemetry.tlog.tree import Node
from threada_site.database.role_names import APP, PLATFORM, PLATFORM_LOGIN
from threada_site.kernel import ids

# Force index plans: statistics of a queue that fills and empties are unreliable. A commit must be on disk before its
# tree head is signed: a log that loses its last leaves in a crash would look rolled back.
_AS_SEALER: Final = (
    f"SET LOCAL ROLE {PLATFORM}; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; "
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL synchronous_commit = on; "
    "SET LOCAL jit = off"
)
_LOCK: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended('threada-seal ' || %s, 0))"
LOCK_FOR_SEALING: Final = "SELECT pg_advisory_xact_lock(hashtextextended('threada-seal ' || %s, 0))"
_WAITING: Final = """
WITH RECURSIVE waiting AS (
    (SELECT tenant_id FROM telemetry_sealqueueentry ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT q.tenant_id FROM telemetry_sealqueueentry q
             WHERE q.tenant_id > waiting.tenant_id ORDER BY q.tenant_id LIMIT 1)
      FROM waiting WHERE waiting.tenant_id IS NOT NULL)
SELECT tenant_id FROM waiting WHERE tenant_id IS NOT NULL
"""
# OFFSET 0 keeps the planner from joining whole tables: one lookup per entry and table, whatever the statistics say.
_QUEUED: Final = """
SELECT q.id, r.body, EXISTS (SELECT FROM telemetry_logleaf l WHERE l.id = q.id OFFSET 0), coalesce(r.signature, '')
  FROM (SELECT id FROM telemetry_sealqueueentry WHERE tenant_id = %(tenant)s ORDER BY id LIMIT %(limit)s) q
  LEFT JOIN LATERAL (SELECT * FROM telemetry_receipt WHERE id = q.id AND tenant_id = %(tenant)s OFFSET 0) r ON true
 ORDER BY q.id
"""
_OLDEST_QUEUED: Final = "SELECT id FROM telemetry_sealqueueentry WHERE tenant_id = %s ORDER BY id LIMIT 1"
_DEQUEUE: Final = "DELETE FROM telemetry_sealqueueentry WHERE tenant_id = %s AND id = ANY(%s)"
_APPEND: Final = """
INSERT INTO telemetry_logleaf (id, tenant_id, "index", hash)
SELECT leaf.id, %s, %s::bigint + leaf.place - 1, leaf.hash
  FROM unnest(%s::uuid[], %s::bytea[]) WITH ORDINALITY AS leaf (id, hash, place)
"""
MOST_QUARANTINED: Final = 10_000
"""Most receipts of a tenant in quarantine."""
_QUARANTINE: Final = """
INSERT INTO telemetry_quarantinedreceipt (id, tenant_id, reason, refused_at, receipt)
SELECT refused.id, %s, refused.reason, %s, to_jsonb(r)
  FROM unnest(%s::uuid[], %s::text[]) AS refused (id, reason)
  LEFT JOIN LATERAL (
       SELECT * FROM telemetry_receipt WHERE id = refused.id AND tenant_id = %s OFFSET 0) r ON true
    ON CONFLICT DO NOTHING
"""
_TAKE_OUT: Final = """
DELETE FROM telemetry_receipt r WHERE tenant_id = %s AND id = ANY(%s)
   AND NOT EXISTS (SELECT FROM telemetry_logleaf l WHERE l.tenant_id = r.tenant_id AND l.id = r.id OFFSET 0)
"""
_COUNT_BEYOND: Final = """
INSERT INTO telemetry_quarantinecount AS counted (id, tenant_id, receipts, last_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (tenant_id) DO UPDATE SET receipts = counted.receipts + excluded.receipts, last_at = excluded.last_at
"""
# Processes of this version name themselves. The other columns of other logins' sessions are hidden.
_OTHER_PROCESSES: Final = """
SELECT EXISTS (SELECT FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = ANY(%s)
                  AND application_name NOT LIKE 'threada%%')
"""
_TAKE_FROM_QUARANTINE: Final = """
DELETE FROM telemetry_quarantinedreceipt
 WHERE tenant_id = %s AND id = %s AND coalesce(receipt ->> 'body_sha256', '') = %s
RETURNING receipt IS NOT NULL
"""
_PUT_BACK: Final = """
INSERT INTO telemetry_receipt SELECT (r).* FROM (
       SELECT jsonb_populate_record(NULL::telemetry_receipt, receipt) AS r
         FROM telemetry_quarantinedreceipt WHERE tenant_id = %s AND id = %s) quarantined
 WHERE NOT EXISTS (SELECT FROM telemetry_logleaf WHERE id = (quarantined.r).id)
RETURNING body, encode(sha256(body), 'hex')
"""
_QUEUE_COUNTED: Final = """
WITH counted AS (DELETE FROM telemetry_quarantinecount WHERE tenant_id = %(tenant)s RETURNING tenant_id)
INSERT INTO telemetry_sealqueueentry (id, tenant_id)
SELECT r.id, r.tenant_id FROM counted JOIN telemetry_receipt r ON r.tenant_id = counted.tenant_id
 WHERE NOT EXISTS (SELECT FROM telemetry_logleaf l WHERE l.id = r.id)
   AND NOT EXISTS (SELECT FROM telemetry_sealqueueentry q WHERE q.id = r.id)
"""
_INSERT_NODES: Final = """
INSERT INTO telemetry_lognode (id, tenant_id, level, "index", hash)
SELECT gen_random_uuid(), %s, n.* FROM unnest(%s::smallint[], %s::bigint[], %s::bytea[]) AS n
"""
_NEWEST_ID: Final = "SELECT id FROM telemetry_checkpoint WHERE tenant_id = %s ORDER BY id DESC LIMIT 1"
_NEWEST: Final = """
SELECT size, note, signed_at FROM telemetry_checkpoint
 WHERE tenant_id = %s ORDER BY id DESC LIMIT 1
"""
_UNSIGNED: Final = """
SELECT t.id FROM tenancy_tenant t
  JOIN LATERAL (SELECT "index" + 1 AS size FROM telemetry_logleaf l
                 WHERE l.tenant_id = t.id ORDER BY "index" DESC LIMIT 1) log ON true
  LEFT JOIN LATERAL (SELECT c.size, c.signed_at FROM telemetry_checkpoint c
                      WHERE c.tenant_id = t.id ORDER BY c.id DESC LIMIT 1) head ON true
 WHERE head.size IS DISTINCT FROM log.size OR head.signed_at <= %s
"""
_LOGS: Final = """
SELECT t.id FROM tenancy_tenant t
 WHERE EXISTS (SELECT FROM telemetry_logleaf l WHERE l.tenant_id = t.id) ORDER BY t.id
"""
_SIGNED: Final = """
INSERT INTO telemetry_checkpoint (id, tenant_id, size, root, note, verifier_keys, signed_at)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
_ALARM: Final = """
INSERT INTO telemetry_logalarm (id, tenant_id, kind, signed_size, signed_root, found_size, found_root, found_at, reason)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, '') ON CONFLICT DO NOTHING
"""
_CLOSE_ALARM: Final = """
UPDATE telemetry_logalarm SET acknowledged_at = %s, reason = %s WHERE tenant_id = %s AND acknowledged_at IS NULL
"""
_NOTES: Final = """
SELECT t.id, c.size, c.note, c.signed_at FROM tenancy_tenant t
  JOIN LATERAL (SELECT size, note, signed_at FROM telemetry_checkpoint
                 WHERE tenant_id = t.id ORDER BY id DESC LIMIT 1) c ON true
"""
_PUBLISHED_AT: Final = "SELECT name, published_at FROM telemetry_checkpointtarget WHERE published_at IS NOT NULL"
_TARGET: Final = """
INSERT INTO telemetry_checkpointtarget (id, name, published_at, failing_since, attempts, failure, detail)
VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET published_at = excluded.published_at, failing_since = excluded.failing_since,
       attempts = excluded.attempts, failure = excluded.failure, detail = excluded.detail
"""
_FORGET: Final = "DELETE FROM telemetry_checkpointtarget WHERE name <> ALL(%s)"


@dataclass(frozen=True, slots=True)
class NewestCheckpoint:
    """The newest checkpoint according to the database."""

    size: int
    origin: str
    signed_at: datetime
    complete_until: datetime | None = None
    signed_from: int | None = None


@dataclass(frozen=True, slots=True)
class QueuedReceipt:
    """A queued receipt; `body` is None if there is no such receipt."""

    id: uuid.UUID
    body: bytes | None
    is_sealed: bool
    signature: str = ""


class LogStore:
    """One connection in autocommit mode, of a login that may use the platform role."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    @contextmanager
    def platform_transaction(self) -> Iterator[None]:
        """Open a transaction that sees the rows of all tenants."""
        with self.connection.transaction():
            self.connection.execute(_AS_SEALER)
            yield

    @contextmanager
    def locked(self, log: uuid.UUID | str, *, waits: bool = False) -> Iterator[bool]:
        """Open a transaction with the exclusive lock of one log. Yields False if another sealer has the lock.

        `log` is a tenant's id or the name of the instance log.
        """
        with self.platform_transaction():
            row = self.connection.execute(LOCK_FOR_SEALING if waits else _LOCK, [str(log)]).fetchone()
            yield waits or row == (True,)

    def waiting_tenants(self) -> list[uuid.UUID]:
        """Return the tenants with queued receipts.

        Uses an index skip scan, so that the length of the queue does not matter.
        """
        return self._ids(_WAITING)

    def unsigned_tenants(self, *, before: datetime) -> list[uuid.UUID]:
        """Return the tenants whose log is longer than its newest checkpoint, or whose newest checkpoint is older than
        `before`."""
        return self._ids(_UNSIGNED, [before])

    def tenants_with_logs(self) -> list[uuid.UUID]:
        return self._ids(_LOGS)

    def was_ever_signed(self) -> bool:
        with self.platform_transaction():
            return bool(self._fetch("SELECT 1 FROM telemetry_checkpoint LIMIT 1", ()))

    def size(self, tenant_id: uuid.UUID) -> int:
        return log_size(self._fetch, tenant_id)

    def reader(self, tenant_id: uuid.UUID) -> NodeReader:
        return node_reader(self._fetch, tenant_id)

    def queued(self, tenant_id: uuid.UUID, *, limit: int) -> list[QueuedReceipt]:
        """Return the oldest queued receipts, ordered by id."""
        rows = self.connection.execute(_QUEUED, {"tenant": tenant_id, "limit": limit}).fetchall()
        return [QueuedReceipt(*row) for row in rows]

    def oldest_queued(self, tenant_id: uuid.UUID) -> datetime | None:
        """Return the time of the oldest queued receipt."""
        row = self.connection.execute(_OLDEST_QUEUED, [tenant_id]).fetchone()
        return ids.instant_of(row[0]) if row else None

    def are_others_connected(self) -> bool:
        """Return True if processes are connected with the product's logins that do not name themselves as this version
        does."""
        [(found,)] = self._fetch(_OTHER_PROCESSES, [[APP, PLATFORM_LOGIN]])
        return bool(found)

    def dequeue(self, tenant_id: uuid.UUID, receipts: Sequence[uuid.UUID]) -> None:
        """Delete queue entries."""
        self.connection.execute(_DEQUEUE, [tenant_id, list(receipts)])

    def append(self, tenant_id: uuid.UUID, leaves: Sequence[tuple[uuid.UUID, bytes]], *, size: int) -> None:
        """Append leaves (receipt id and hash) after the `size` existing ones."""
        self.connection.execute(_APPEND, [tenant_id, size, [leaf[0] for leaf in leaves], [leaf[1] for leaf in leaves]])

    def quarantine(self, tenant_id: uuid.UUID, refused: Mapping[uuid.UUID, str], *, at: datetime) -> None:
        """Move receipts, by id and reason, into quarantine. Beyond the largest number of a tenant they are counted and
        stay where they are."""
        [(kept,)] = self._fetch("SELECT count(*) FROM telemetry_quarantinedreceipt WHERE tenant_id = %s", [tenant_id])
        moved = dict(islice(refused.items(), max(MOST_QUARANTINED - kept, 0)))
        self.connection.execute(_QUARANTINE, [tenant_id, at, list(moved), list(moved.values()), tenant_id])
        self.connection.execute(_TAKE_OUT, [tenant_id, list(moved)])
        if beyond := len(refused) - len(moved):
            self.connection.execute(_COUNT_BEYOND, [uuid_utils.compat.uuid7(), tenant_id, beyond, at])

    def take_from_quarantine(
        self, tenant_id: uuid.UUID, receipt_id: uuid.UUID, *, sha256: str, puts_back: bool
    ) -> bytes | None:
        """Delete the row of a receipt with this digest from quarantine. Put the receipt back among the others if
        `puts_back`, and return its body then."""
        body = None
        if puts_back and sha256:
            row = self.connection.execute(_PUT_BACK, [tenant_id, receipt_id]).fetchone()
            if row is not None and row[1] != sha256:
                raise ValueError(f"the receipt {receipt_id} in quarantine is not the one that was accepted")
            body = row and bytes(row[0])
        self.connection.execute(_TAKE_FROM_QUARANTINE, [tenant_id, receipt_id, sha256])
        return body

    def queue_counted(self, tenant_id: uuid.UUID) -> None:
        """Queue the refused receipts beyond the largest number in quarantine again."""
        self.connection.execute(_QUEUE_COUNTED, {"tenant": tenant_id})

    def store_nodes(self, tenant_id: uuid.UUID, nodes: Sequence[Node]) -> None:
        """Insert the completed nodes whose level is a stored level."""
        levels, places, hashes = stored_nodes(nodes)
        if levels:
            self.connection.execute(_INSERT_NODES, [tenant_id, levels, places, hashes])

    def newest_checkpoint(self, tenant_id: uuid.UUID) -> NewestCheckpoint | None:
        row = self.connection.execute(_NEWEST, [tenant_id]).fetchone()
        if row is None:
            return None
        checkpoint = Checkpoint.parse(SignedNote.parse(row[1]).text)
        return NewestCheckpoint(row[0], checkpoint.origin, row[2], checkpoint.complete_until, checkpoint.signed_from)

    def add_checkpoint(self, tenant_id: uuid.UUID, tree_head: SignedTreeHead) -> uuid.UUID:
        """Insert a signed checkpoint as the newest one and return its id."""
        row = self.connection.execute(_NEWEST_ID, [tenant_id]).fetchone()
        checkpoint_id = ids.new_uuid_after(row[0] if row else None)
        values = [
            checkpoint_id,
            tenant_id,
            tree_head.size,
            tree_head.root,
            tree_head.note,
            tree_head.verifier_keys,
            tree_head.at,
        ]
        self.connection.execute(_SIGNED, values)
        return checkpoint_id

    def raise_alarm(
        self,
        tenant_id: uuid.UUID,
        kind: str,
        *,
        signed: tuple[int, bytes],
        found: tuple[int, bytes | None],
        at: datetime,
    ) -> None:
        """Insert an alarm of the tenant, unless one is open."""
        new_id = uuid_utils.compat.uuid7()
        self.connection.execute(_ALARM, [new_id, tenant_id, kind, *signed, *found, at])

    def close_alarm(self, tenant_id: uuid.UUID, *, reason: str, at: datetime) -> bool:
        """Close the open alarm. Return True if there was one."""
        return self.connection.execute(_CLOSE_ALARM, [at, reason, tenant_id]).rowcount > 0

    def newest_notes(self) -> list[tuple[uuid.UUID, int, str, datetime]]:
        """Return tenant, size, note and time of the newest checkpoint of every log."""
        with self.platform_transaction():
            return self._fetch(_NOTES, ())  # type: ignore[return-value]

    def targets_published_at(self) -> dict[str, datetime]:
        """Return the time of the last successful publication by target name."""
        with self.platform_transaction():
            return {row[0]: row[1] for row in self._fetch(_PUBLISHED_AT, ())}

    def save_target(self, *state: Any) -> None:
        """Save the state of a target: name, published_at, failing_since, attempts, failure, detail."""
        with self.platform_transaction():
            self.connection.execute(_TARGET, [uuid_utils.compat.uuid7(), *state])

    def delete_targets(self, *, but: Sequence[str]) -> None:
        """Delete the states of all targets except `but`, so that removed targets are not reported as failing."""
        with self.platform_transaction():
            self.connection.execute(_FORGET, [list(but)])

    def _ids(self, query: str, parameters: Sequence[Any] = ()) -> list[uuid.UUID]:
        with self.platform_transaction():
            return [row[0] for row in self._fetch(query, parameters)]

    def _fetch(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, parameters or None).fetchall()
