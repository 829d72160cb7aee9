"""Queries of receipts and logs, each for one tenant."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Exists, OuterRef, QuerySet, Subquery, Sum

from telemetry.alarms import broken_logs_alarm, quarantine_alarm, unsealed_alarm
from telemetry.lifecycle import DeliveryStatus, ExportStatus
from telemetry.log.rows import instance_log_size as size_of_instance_log
from telemetry.log.rows import instance_node_reader, node_reader
from telemetry.log.rows import log_size as size_of_log
from telemetry.models import (
    Checkpoint,
    Delivery,
    InstanceCheckpoint,
    InstanceEntry,
    LogLeaf,
    Receipt,
    ReceiptKeyNote,
    SummaryCount,
    SummaryPosition,
    SummaryRollup,
    TelemetryExport,
)
from telemetry.tlog.note import SignedNote
from telemetry.tlog.proof_text import TlogProof, consistency_text
from telemetry.tlog.proofs import NodeReader, consistency_proof, inclusion_proof
from threada_site.database.router import read_connection
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Tenant

_SEALING_STATE: Final = """
SELECT (SELECT id FROM telemetry_sealqueueentry WHERE tenant_id = %(tenant)s ORDER BY id LIMIT 1),
       EXISTS (SELECT FROM telemetry_logalarm WHERE tenant_id = %(tenant)s AND acknowledged_at IS NULL),
       (SELECT count(*) FROM telemetry_quarantinedreceipt WHERE tenant_id = %(tenant)s)
"""


def receipts(ctx: ActingContext) -> QuerySet[Receipt]:
    """Return all receipts of the tenant."""
    return Receipt.objects.filter(tenant_id=ctx.tenant_id)


def receipts_of(work_item_id: uuid.UUID, *, ctx: ActingContext) -> QuerySet[Receipt]:
    """Return the receipts of one work item: its timeline.

    None is older than the work item or newer than now, so the partitions of other months are not planned.
    """
    created = ids.instant_of(work_item_id)
    oldest = ids.first_id_at(created - ids.CLOCKS_DIFFER)
    end = ids.first_id_at(max(created, clock.now()) + ids.CLOCKS_DIFFER)
    return receipts(ctx).filter(work_item_id=work_item_id, id__gte=oldest, id__lt=end)


def exports(ctx: ActingContext) -> QuerySet[TelemetryExport]:
    return TelemetryExport.objects.filter(tenant_id=ctx.tenant_id)


def kept_exports(tenant_id: uuid.UUID) -> QuerySet[TelemetryExport]:
    """Return the exports of a tenant that have a file or will have one."""
    kept = [ExportStatus.REQUESTED, ExportStatus.RUNNING, ExportStatus.READY]
    return TelemetryExport.objects.filter(tenant_id=tenant_id, status__in=kept)


def export_bytes(tenant_id: uuid.UUID) -> int:
    """Return the size of all export files of a tenant."""
    return kept_exports(tenant_id).aggregate(size=Sum("size"))["size"] or 0


def deliveries(ctx: ActingContext) -> QuerySet[Delivery]:
    """Return the continuous deliveries of the tenant, without removed ones."""
    return kept_deliveries(ctx.tenant_id)


def kept_deliveries(tenant_id: uuid.UUID) -> QuerySet[Delivery]:
    """Return the continuous deliveries of a tenant, without removed ones."""
    return Delivery.objects.filter(tenant_id=tenant_id).exclude(status=DeliveryStatus.REMOVED)


def checkpoints(ctx: ActingContext) -> QuerySet[Checkpoint]:
    """Return all signed checkpoints of the tenant's log."""
    return Checkpoint.objects.filter(tenant_id=ctx.tenant_id)


def with_sealed(receipts: QuerySet[Receipt]) -> QuerySet[Any]:
    """Annotate receipts with `is_sealed`."""
    leaves = LogLeaf.objects.filter(tenant_id=OuterRef("tenant_id"), id=OuterRef("id"))
    return receipts.annotate(is_sealed=Exists(leaves))


def newest_checkpoint(tenant_id: uuid.UUID) -> Checkpoint | None:
    """Return the newest checkpoint of the tenant's log, or None."""
    return Checkpoint.objects.filter(tenant_id=tenant_id).order_by("-id").first()


def newest_receipt_key_note() -> str | None:
    """Return the newest note in which the sealer endorses the public keys of receipts, or None."""
    return ReceiptKeyNote.objects.order_by("-id").values_list("note", flat=True).first()


def proof_of(receipt: Receipt) -> TlogProof:
    """Return the proof that the receipt is in its tenant's log, under the newest checkpoint.

    Raises `ReceiptNotSealed`.
    """
    leaf = LogLeaf.objects.filter(tenant_id=receipt.tenant_id, id=receipt.id).first()
    checkpoint = newest_checkpoint(receipt.tenant_id)
    if leaf is None or checkpoint is None or leaf.index >= checkpoint.size:
        raise errors.ReceiptNotSealed(headers={"Retry-After": "1"})
    path = inclusion_proof(leaf.index, checkpoint.size, log_nodes(receipt.tenant_id))
    return TlogProof(leaf.index, tuple(path), SignedNote.parse(checkpoint.note))


@dataclass(frozen=True, slots=True)
class InstanceProof:
    """Proof that `entry`, a tenant's checkpoint, is in the instance log under `checkpoint`."""

    entry: InstanceEntry
    checkpoint: InstanceCheckpoint
    proof: TlogProof


def instance_checkpoints() -> QuerySet[InstanceCheckpoint]:
    """Return all signed checkpoints of the instance log."""
    return InstanceCheckpoint.objects.all()


def instance_proof(tenant_id: uuid.UUID, *, among: QuerySet[InstanceCheckpoint] | None = None) -> InstanceProof | None:
    """Return the proof of the tenant's newest entry in the instance log, under the newest instance checkpoint of
    `among`.

    Returns None if there is no such entry yet. Raises `LogIncomplete` if rows of the log are missing.
    """
    checkpoint = (instance_checkpoints() if among is None else among).order_by("-id").first()
    if checkpoint is None:
        return None
    entry = InstanceEntry.objects.filter(log_id=tenant_id, index__lt=checkpoint.size).order_by("-index").first()
    if entry is None:
        return None
    path = inclusion_proof(entry.index, checkpoint.size, instance_nodes())
    return InstanceProof(entry, checkpoint, TlogProof(entry.index, tuple(path), SignedNote.parse(checkpoint.note)))


def instance_entry_of(checkpoint: Checkpoint) -> InstanceEntry | None:
    """Return the entry of the checkpoint in the instance log, or None for heartbeats and queued checkpoints."""
    return InstanceEntry.objects.filter(log_id=checkpoint.tenant_id, checkpoint_id=checkpoint.id).first()


def instance_consistency(old_size: int, checkpoint: InstanceCheckpoint) -> str:
    """Return the proof that the log of `old_size` leaves is a prefix of the log of `checkpoint`.

    Raises `LogIncomplete`.
    """
    path = consistency_proof(old_size, checkpoint.size, instance_nodes())
    return consistency_text(old_size, path, SignedNote.parse(checkpoint.note))


def log_nodes(tenant_id: uuid.UUID) -> NodeReader:
    """Return a reader of the nodes of the tenant's log, for proofs and roots. Reading raises `LogIncomplete` if rows
    are missing."""
    return node_reader(_fetch, tenant_id)


def instance_nodes() -> NodeReader:
    """Return a reader of the nodes of the instance log. They are hashes and do not identify tenants."""
    return instance_node_reader(_fetch)


def log_size(tenant_id: uuid.UUID) -> int:
    """Return the number of leaves of the tenant's log."""
    return size_of_log(_fetch, tenant_id)


def instance_log_size() -> int:
    return size_of_instance_log(_fetch)


def _fetch(query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with read_connection().cursor() as cursor:
        cursor.execute(query, parameters or None)
        return cursor.fetchall()


def sealing_alarms(ctx: ActingContext) -> list[str]:
    """Return the alarm texts about the tenant's log; usually empty."""
    with read_connection().cursor() as cursor:
        cursor.execute(_SEALING_STATE, {"tenant": ctx.tenant_id})
        oldest, is_broken, refused = cursor.fetchone()
    said = (
        broken_logs_alarm(int(is_broken)),
        quarantine_alarm(refused),
        unsealed_alarm(clock.now() - ids.instant_of(oldest)) if oldest else None,
    )
    return [alarm for alarm in said if alarm]


def sealed(tenant_id: uuid.UUID, *, start: int, limit: int) -> list[Receipt | None]:
    """Return the receipts from log index `start` on; None for receipts that retention removed."""
    places = LogLeaf.objects.filter(tenant_id=tenant_id, index__gte=start, index__lt=start + limit).order_by("index")
    leaves = list(places.values_list("id", flat=True))
    found = Receipt.objects.filter(tenant_id=tenant_id).in_bulk(leaves)
    return [found.get(leaf) for leaf in leaves]


@dataclass(frozen=True, slots=True)
class Reach:
    """Progress of the summary counts: time of the last counted receipt, and the number of leaves not counted yet."""

    latest_at: datetime | None
    uncounted: int


def summary_reach(ctx: ActingContext) -> Reach:
    """Return the progress of the summary counts, in one statement."""
    last = LogLeaf.objects.filter(tenant_id=ctx.tenant_id).order_by("-index").values("index")[:1]
    position = SummaryPosition.objects.filter(tenant_id=OuterRef("id"))
    row = Tenant.objects.filter(id=ctx.tenant_id).values_list(
        Subquery(position.values("latest_at")), Subquery(position.values("counted")), Subquery(last)
    )[0]
    latest_at, counted, last_index = row
    return Reach(latest_at, (-1 if last_index is None else last_index) + 1 - (counted or 0))


def summary_counts(ctx: ActingContext) -> QuerySet[SummaryCount]:
    return SummaryCount.objects.filter(tenant_id=ctx.tenant_id)


def summary_rollups(ctx: ActingContext) -> QuerySet[SummaryRollup]:
    return SummaryRollup.objects.filter(tenant_id=ctx.tenant_id)
