"""Verification of one tenant's log: receipts against leaves, leaves against the tree, the tree against checkpoints.

The tree is built from the stored leaves, so that one changed receipt is one finding. A changed leaf is found at the
first checkpoint that covers it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from telemetry.receipts.authentic import accepted_receipts, continued_logs
from telemetry.receipts.projections import StoredReceipt, projection_mismatches
from telemetry.receipts.quarantine import IN_WORDS
from telemetry.tlog.hashing import leaf_hash
from telemetry.tlog.note import VerifierKey
from telemetry.tlog.tree import CompactRange
from telemetry.verification.checkpoints import (
    ArchivedCheckpoint,
    CheckpointComparison,
    ImportedLogs,
    tenant_log_queries,
)
from telemetry.verification.findings import Finding, VerificationStats
from telemetry.verification.nodes import StoredNodes
from telemetry.verification.origins import UNKNOWN_KEY, UNSIGNED, Origins, keys_of_log
from telemetry.verification.snapshot import stream
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

_COLUMNS: Final = ", ".join(f"r.{name}" for name in (*StoredReceipt.__dataclass_fields__, "signature"))
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
_UNSIGNED_NOTE: Final = "have no signature of the process that wrote them."
_UNKNOWN_NOTE: Final = "are signed with keys that are not known."
_IMPORTS: Final = "SELECT body FROM telemetry_receipt WHERE tenant_id = %s AND kind = 'tenant.imported' ORDER BY id"
_QUARANTINED: Final = """
SELECT id, reason, receipt ->> 'kind' FROM telemetry_quarantinedreceipt WHERE tenant_id = %s ORDER BY id
"""
_COUNTED: Final = "SELECT receipts FROM telemetry_quarantinecount WHERE tenant_id = %s"
_QUEUED_WITHOUT: Final = """
SELECT q.id FROM telemetry_sealqueueentry q
 WHERE q.tenant_id = %s
   AND NOT EXISTS (SELECT FROM telemetry_receipt r WHERE r.tenant_id = q.tenant_id AND r.id = q.id)
 ORDER BY q.id
"""


def verify_log(
    tenant: Tenant,
    *,
    keys: Sequence[VerifierKey],
    older: Sequence[ArchivedCheckpoint],
    stats: VerificationStats,
    watch: Callable[[], None] = lambda: None,
    requires_signatures: bool = True,
) -> Iterator[Finding]:
    """Yield every finding. Call it inside `snapshot`.

    `requires_signatures`: False for the log of another instance, whose keys of receipts are not known here.

    `keys` are trusted signers; if empty, the keys named by the newest checkpoint are trusted and `stats.notes` says so.
    `older` are checkpoints of this tenant archived elsewhere. `watch` is called for every receipt.
    """
    rows = tenant_log_queries(tenant)
    comparison = CheckpointComparison(rows, older=older, imported=_imported_logs(tenant))
    yield from comparison.check_signatures(keys, stats=stats)
    receipt_keys = keys_of_log(tenant, trusted=comparison.trusted_keys)
    comparison.continued = continued_logs(tenant.id, keys_at=receipt_keys.at)
    accepted = accepted_receipts(tenant.id, keys_at=receipt_keys.at)
    signed_from = comparison.signed_from if requires_signatures else None
    origins = Origins(tenant, receipt_keys, stats, signed_from=signed_from, accepted=accepted)
    tree, nodes, is_whole = CompactRange(), StoredNodes(rows), True
    yield from comparison.compare_at(tree)
    for index, leaf_id, value, *columns in stream(_SEALED, [tenant.id]):
        watch()
        stats.sealed += 1
        receipt = ids.public_id(ids.RECEIPT, leaf_id)
        yield from _check_receipt(tenant, columns, value, origins, sequence=index, receipt=receipt)
        if receipt not in accepted:
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
    yield from _check_quarantine(tenant)
    yield from _check_unsealed(tenant, stats, origins, watch)
    stats.notes += [
        f"{stats.written_by[kind]} receipts {what}"
        for kind, what in ((UNSIGNED, _UNSIGNED_NOTE), (UNKNOWN_KEY, _UNKNOWN_NOTE))
        if stats.written_by[kind] and stats.signed_by
    ]


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
    tenant: Tenant, columns: Sequence[Any], leaf: bytes, origins: Origins, *, sequence: int, receipt: str
) -> Iterator[Finding]:
    """Verify one sealed receipt."""
    if columns[0] is None:
        message = "sealed, and not in the database any more"
        yield Finding(tenant.slug, "receipt_missing", message, sequence=sequence, receipt=receipt)
        return
    *projected, signature = columns
    row = StoredReceipt(*projected)
    if leaf_hash(row.body) != bytes(leaf):
        message = "the stored bytes are not the ones that were sealed"
        yield Finding(tenant.slug, "bytes_differ", message, sequence=sequence, receipt=receipt)
    elif problem := origins.problem(receipt, row.body, signature, sequence=sequence):
        yield Finding(tenant.slug, "origin_invalid", problem, sequence=sequence, receipt=receipt)
    for code, message in projection_mismatches(row, tenant_id=tenant.id):
        yield Finding(tenant.slug, code, message, sequence=sequence, receipt=receipt)


def _check_quarantine(tenant: Tenant) -> Iterator[Finding]:
    """Name the receipts that the sealer refused, until an operator accepts or discards them."""
    for receipt_id, reason, kind in stream(_QUARANTINED, [tenant.id]):
        named = f" ({kind})" if kind else ""
        message = f"refused by the sealer, because {IN_WORDS.get(reason, reason)}{named}: manage.py quarantine"
        yield Finding(tenant.slug, "refused", message, receipt=ids.public_id(ids.RECEIPT, receipt_id))
    for (number,) in stream(_COUNTED, [tenant.id]):
        yield Finding(
            tenant.slug, "refused", f"{number} more receipts were refused by the sealer: manage.py quarantine"
        )


def _check_unsealed(
    tenant: Tenant, stats: VerificationStats, origins: Origins, watch: Callable[[], None]
) -> Iterator[Finding]:
    """Verify receipts that are not sealed: queued ones, and those that would never be sealed."""
    for is_queued, *columns in stream(_UNSEALED, [tenant.id]):
        watch()
        *projected, signature = columns
        row = StoredReceipt(*projected)
        receipt = ids.public_id(ids.RECEIPT, row.id)
        if problem := origins.problem(receipt, row.body, signature, sequence=None):
            yield Finding(tenant.slug, "origin_invalid", problem, receipt=receipt)
        stats.waiting += is_queued
        if not is_queued:
            message = "neither sealed nor queued for it: it was put in, or its leaf was taken out"
            yield Finding(tenant.slug, "never_sealed", message, receipt=receipt)
        for code, message in projection_mismatches(row, tenant_id=tenant.id):
            yield Finding(tenant.slug, code, message, receipt=receipt)
    for (receipt_id,) in stream(_QUEUED_WITHOUT, [tenant.id]):
        message = "queued to be sealed, and not in the database any more"
        yield Finding(tenant.slug, "receipt_missing", message, receipt=ids.public_id(ids.RECEIPT, receipt_id))
