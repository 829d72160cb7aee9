"""Verification of one tenant's log: receipts against leaves, leaves against the tree, the tree against checkpoints.

The tree is built from the stored leaves, so that one changed receipt is one finding. A changed leaf is found at the
first checkpoint that covers it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from telemetry.receipts.projections import StoredReceipt, projection_mismatches
from telemetry.tlog.hashing import leaf_hash
from telemetry.tlog.note import VerifierKey
from telemetry.tlog.tree import CompactRange
from telemetry.verification.checkpoints import (
    ArchivedCheckpoint,
    CheckpointComparison,
    ImportedLogs,
    tenant_log_queries,
)
from telemetry.verification.findings import Finding
from telemetry.verification.nodes import StoredNodes
from telemetry.verification.snapshot import stream
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

_COLUMNS: Final = ", ".join(f"r.{name}" for name in StoredReceipt.__dataclass_fields__)
_SEALED: Final = f"""
SELECT l."index", l.id, l.hash, {_COLUMNS}
  FROM telemetry_logleaf l LEFT JOIN telemetry_receipt r ON r.tenant_id = l.tenant_id AND r.id = l.id
 WHERE l.tenant_id = %s ORDER BY l."index"
"""
_UNSEALED: Final = f"""
SELECT EXISTS (SELECT FROM telemetry_sealqueueentry q WHERE q.tenant_id = r.tenant_id AND q.id = r.id), {_COLUMNS}
  FROM telemetry_receipt r
 WHERE r.tenant_id = %s
   AND NOT EXISTS (SELECT FROM telemetry_logleaf l WHERE l.tenant_id = r.tenant_id AND l.id = r.id)
 ORDER BY r.id
"""
_IMPORTS: Final = "SELECT body FROM telemetry_receipt WHERE tenant_id = %s AND kind = 'tenant.imported' ORDER BY id"
_QUEUED_WITHOUT: Final = """
SELECT q.id FROM telemetry_sealqueueentry q
 WHERE q.tenant_id = %s
   AND NOT EXISTS (SELECT FROM telemetry_receipt r WHERE r.tenant_id = q.tenant_id AND r.id = q.id)
 ORDER BY q.id
"""


@dataclass(slots=True)
class VerificationStats:
    """Numbers of verified rows, signing keys, and notes for the reader."""

    sealed: int = 0
    waiting: int = 0
    checkpoints: int = 0
    signed_by: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify_log(
    tenant: Tenant,
    *,
    keys: Sequence[VerifierKey],
    older: Sequence[ArchivedCheckpoint],
    stats: VerificationStats,
    watch: Callable[[], None] = lambda: None,
) -> Iterator[Finding]:
    """Yield every finding. Call it inside `snapshot`.

    `keys` are trusted signers; if empty, the keys named by the newest checkpoint are trusted and `stats.notes` says so.
    `older` are checkpoints of this tenant archived elsewhere. `watch` is called for every receipt.
    """
    rows = tenant_log_queries(tenant)
    comparison = CheckpointComparison(rows, older=older, imported=_imported_logs(tenant))
    yield from comparison.check_signatures(keys, stats=stats)
    tree, nodes, is_whole = CompactRange(), StoredNodes(rows), True
    yield from comparison.compare_at(tree)
    for index, leaf_id, value, *columns in stream(_SEALED, [tenant.id]):
        watch()
        stats.sealed += 1
        receipt = ids.public_id(ids.RECEIPT, leaf_id)
        yield from _check_receipt(tenant, columns, value, sequence=index, receipt=receipt)
        yield from comparison.check_time(leaf_id, sequence=index)
        if is_whole and index != tree.size:
            yield from _gap(tenant, tree.size, index)
            is_whole = False  # no tree can be built from the following leaves
        if is_whole:
            yield from nodes.check(tree.append(bytes(value)))
            yield from comparison.compare_at(tree)
    if is_whole:
        yield from nodes.report_extra_nodes()
        yield from comparison.report_unreached(tree)
    stats.checkpoints = comparison.count
    yield from _check_unsealed(tenant, stats, watch)


def _imported_logs(tenant: Tenant) -> ImportedLogs:
    """Return the logs that receipts of imports name."""
    keys: dict[str, list[VerifierKey]] = {}
    for (body,) in stream(_IMPORTS, [tenant.id]):
        said = json.loads(bytes(body))["inputs"]
        keys.setdefault(said["log"], []).extend(map(VerifierKey.parse, said["log_keys"]))
    return ImportedLogs(keys)


def _gap(tenant: Tenant, expected: int, found: int) -> Iterator[Finding]:
    missing = f"sequence {expected}" if found == expected + 1 else f"sequences {expected} to {found - 1}"
    yield Finding(
        tenant.slug, "leaf_missing", f"the log has no leaf for {missing}: it was taken out", sequence=expected
    )


def _check_receipt(
    tenant: Tenant, columns: Sequence[Any], leaf: bytes, *, sequence: int, receipt: str
) -> Iterator[Finding]:
    """Verify one sealed receipt."""
    if columns[0] is None:
        message = "sealed, and not in the database any more"
        yield Finding(tenant.slug, "receipt_missing", message, sequence=sequence, receipt=receipt)
        return
    row = StoredReceipt(*columns)
    if leaf_hash(row.body) != bytes(leaf):
        message = "the stored bytes are not the ones that were sealed"
        yield Finding(tenant.slug, "bytes_differ", message, sequence=sequence, receipt=receipt)
    for code, message in projection_mismatches(row, tenant_id=tenant.id):
        yield Finding(tenant.slug, code, message, sequence=sequence, receipt=receipt)


def _check_unsealed(tenant: Tenant, stats: VerificationStats, watch: Callable[[], None]) -> Iterator[Finding]:
    """Verify receipts that are not sealed: queued ones, and those that would never be sealed."""
    for is_queued, *columns in stream(_UNSEALED, [tenant.id]):
        watch()
        row = StoredReceipt(*columns)
        receipt = ids.public_id(ids.RECEIPT, row.id)
        stats.waiting += is_queued
        if not is_queued:
            message = "neither sealed nor queued for it: it was put in, or its leaf was taken out"
            yield Finding(tenant.slug, "never_sealed", message, receipt=receipt)
        for code, message in projection_mismatches(row, tenant_id=tenant.id):
            yield Finding(tenant.slug, code, message, receipt=receipt)
    for (receipt_id,) in stream(_QUEUED_WITHOUT, [tenant.id]):
        message = "queued to be sealed, and not in the database any more"
        yield Finding(tenant.slug, "receipt_missing", message, receipt=ids.public_id(ids.RECEIPT, receipt_id))
