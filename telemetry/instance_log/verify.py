"""Verification of the instance log: its leaves, its checkpoints, and the existence of every log that it contains.

An entry is a tenant's signed checkpoint, byte for byte, and its hash is in a signed tree. An entry whose tenant or
checkpoint is missing therefore shows what was deleted from the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from telemetry.models import InstanceEntry
from telemetry.tlog.checkpoint import INSTANCE, Checkpoint, times_restored
from telemetry.tlog.hashing import leaf_hash
from telemetry.tlog.note import SignedNote, VerifierKey
from telemetry.tlog.texts import MalformedText
from telemetry.tlog.tree import CompactRange
from telemetry.verification.checkpoints import ArchivedCheckpoint, CheckpointComparison, LogQueries
from telemetry.verification.deletions import deletion_in, is_signed_deletion
from telemetry.verification.findings import Finding, VerificationStats
from telemetry.verification.nodes import StoredNodes
from telemetry.verification.snapshot import stream
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

_ROWS: Final = LogQueries(
    INSTANCE,
    "checkpoints",
    "SELECT id, size, root, note, verifier_keys FROM telemetry_instancecheckpoint ORDER BY id DESC",
    "SELECT id, size, root, note FROM telemetry_instancecheckpoint "
    "WHERE split_part(note, chr(10), 1) = %s ORDER BY size, id",
    'SELECT "index", hash FROM telemetry_instancenode WHERE level = %s ORDER BY "index"',
)
_ENTRIES: Final = """
SELECT n."index", n.hash, e.note, e.log_id, c.id IS NOT NULL AND c.note = e.note
  FROM telemetry_instancenode n
  LEFT JOIN telemetry_instanceentry e ON e."index" = n."index"
  LEFT JOIN telemetry_checkpoint c ON c.id = e.checkpoint_id AND c.tenant_id = e.log_id
 WHERE n.level = 0 ORDER BY n."index"
"""
_QUEUED: Final = """
SELECT q.id, EXISTS (SELECT FROM telemetry_checkpoint c WHERE c.id = q.id)
             OR EXISTS (SELECT FROM tenancy_deletedtenant d WHERE d.id = q.id AND d.note <> '')
  FROM telemetry_instancequeueentry q ORDER BY q.id
"""


@dataclass(slots=True)
class _Known:
    """Entries of one tenant: the newest one, and those whose checkpoints are missing."""

    newest: Checkpoint
    gone: list[tuple[int, Checkpoint]] = field(default_factory=list)


def verify_instance(
    *,
    keys: Sequence[VerifierKey],
    older: Sequence[ArchivedCheckpoint],
    stats: VerificationStats,
    watch: Callable[[], None] = lambda: None,
) -> Iterator[Finding]:
    """Yield every finding. Call it inside `instance_snapshot`.

    Does not verify the tenants' logs: `verify_log` does, and `newest_entry` provides what this log says about each.
    """
    comparison = CheckpointComparison(_ROWS, older=older)
    yield from comparison.check_signatures(keys, stats=stats)
    tree, nodes, is_whole = CompactRange(), StoredNodes(_ROWS), True
    known: dict[str, _Known] = {}
    yield from comparison.compare_at(tree)
    for row in stream(_ENTRIES, []):
        watch()
        stats.sealed += 1
        if (record := deletion_in(row[2])) is None or leaf_hash(row[2].encode()) != bytes(row[1]):
            yield from _entry(row, known)
        elif is_signed_deletion(record, (tenant := ids.public_id(ids.TENANT, row[3])), comparison.trusted_keys):
            known.pop(tenant, None)
            stats.notes.append(f"{tenant} was deleted, as a signed record says.")
        index, value, *_ = row
        if is_whole and index != tree.size:
            yield _wrong("leaf_missing", "the log has no leaf for it: it was taken out", tree.size)
            is_whole = False
        if is_whole:
            yield from nodes.check(tree.append(bytes(value)))
            yield from comparison.compare_at(tree)
    if is_whole:
        yield from nodes.report_extra_nodes()
        yield from comparison.report_unreached(tree)
    stats.checkpoints = comparison.count
    yield from _queued(stats)
    yield from _tenants(known, stats)


def newest_entry(tenant: Tenant, *, origin: str) -> ArchivedCheckpoint | None:
    """Return the tenant's newest entry in the instance log, to compare with its log, or None.

    Returns None as well if the entry belongs to an earlier log, before an acknowledged break. Call it inside
    `snapshot`.
    """
    entry = InstanceEntry.objects.filter(log_id=tenant.id).order_by("-index").first()
    try:
        note = SignedNote.parse(entry.note) if entry else None
        if note is not None and deletion_in(entry.note if entry else None) is not None:
            return None  # the tenant was deleted here, and came back with an import
        checkpoint = Checkpoint.parse(note.text) if note else None
    except MalformedText:
        return None  # reported by the verification of the instance log
    if checkpoint is None or times_restored(checkpoint.origin) < times_restored(origin):
        return None
    return ArchivedCheckpoint(checkpoint, note)


def _entry(row: Sequence[Any], known: dict[str, _Known]) -> Iterator[Finding]:
    """Verify one leaf and its entry."""
    index, leaf, note, log_id, has_checkpoint = row
    if note is None:
        yield _wrong("entry_missing", "the leaf is there, and what it is the hash of is not", index)
        return
    if leaf_hash(note.encode()) != bytes(leaf):
        yield _wrong("bytes_differ", "the entry is not the one that was sealed", index)
        return
    try:
        checkpoint = Checkpoint.parse(SignedNote.parse(note).text)
    except MalformedText as error:
        yield _wrong("unreadable", f"the entry is not a checkpoint: {error}", index)
        return
    tenant = checkpoint.origin.rpartition("/")[2]
    if ids.parse_public_id(ids.TENANT, tenant) != log_id:
        yield _wrong(
            "column_differs", f"the entry is of {checkpoint.origin}, and its column says another tenant", index
        )
    seen = known.setdefault(tenant, _Known(checkpoint))
    seen.newest = checkpoint
    if not has_checkpoint:
        seen.gone.append((index, checkpoint))


def _tenants(known: dict[str, _Known], stats: VerificationStats) -> Iterator[Finding]:
    """Yield missing tenants and missing checkpoints, except those of logs with an acknowledged break."""
    slugs = {ids.public_id(ids.TENANT, tenant.id): tenant.slug for tenant in Tenant.objects.all()}
    earlier = 0
    for name, seen in known.items():
        newest = seen.newest
        if name not in slugs:
            message = f"{newest.size} receipts were sealed, and the tenant is not in the database any more"
            yield Finding(newest.origin, "tenant_dropped", message)
            continue
        now = times_restored(newest.origin)
        gone = [(index, checkpoint) for index, checkpoint in seen.gone if times_restored(checkpoint.origin) == now]
        earlier += len(seen.gone) - len(gone)
        if gone:
            index, checkpoint = gone[-1]
            more = f", and {len(gone) - 1} more are not" if len(gone) > 1 else ""
            message = (
                f"entry {index} of the instance's log is its checkpoint of {checkpoint.size} receipts, which is not in "
                f"the database any more{more}"
            )
            yield Finding(slugs[name], "checkpoint_missing", message)
    if earlier:
        stats.notes.append(f"{earlier} entries are of logs that broke off, as was acknowledged.")


def _queued(stats: VerificationStats) -> Iterator[Finding]:
    for checkpoint_id, is_there in stream(_QUEUED, []):
        stats.waiting += is_there
        if not is_there:
            named = ids.public_id(ids.CHECKPOINT, checkpoint_id)
            yield _wrong("checkpoint_missing", f"checkpoint {named} is queued, and not in the database any more")


def _wrong(code: str, message: str, index: int | None = None) -> Finding:
    return Finding(INSTANCE, code, message, sequence=index)
