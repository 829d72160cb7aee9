"""Acknowledgement of a broken log by an operator, recorded in the anchor where the sealer reads it."""

from __future__ import annotations

import uuid
from dataclasses import replace

from django.db import connection

from telemetry.log.anchor import Anchor, AnchoredCheckpoint
from telemetry.log.rows import LogIncomplete
from telemetry.log.store import LOCK_FOR_SEALING
from telemetry.models import LogAlarm, Receipt, SealQueueEntry
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from telemetry.selectors import log_nodes, log_size
from telemetry.tlog.checkpoint import origin_after_break, signed_from_line
from telemetry.tlog.proofs import NodeReader, tree_root
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext


def acknowledge_log(
    anchor: Anchor, *, reason: str, ctx: ActingContext, although_it_matches: bool = False
) -> AnchoredCheckpoint:
    """Let the tenant's log continue from the rows in the database, under a new origin.

    Two checkpoints of one log must be consistent with each other. The continued log is therefore a new log with a new
    name. Raises `Conflict` if the log matches its signed checkpoint, or if leaves are missing. `although_it_matches`:
    also continue a log that matches, because another instance may have continued it.
    """
    require_unit_of_work(ctx.tenant_id)
    with connection.cursor() as cursor:
        cursor.execute(LOCK_FOR_SEALING, [str(ctx.tenant_id)])
    tenant = ids.public_id(ids.TENANT, ctx.tenant_id)
    kept, checkpoint = restart_point(
        anchor,
        tenant,
        size=log_size(ctx.tenant_id),
        read=log_nodes(ctx.tenant_id),
        although_it_matches=although_it_matches,
    )
    alarms = LogAlarm.objects.filter(tenant_id=ctx.tenant_id, acknowledged_at__isnull=True)
    alarms.update(acknowledged_at=clock.now(), reason=reason)
    record(
        Entry(
            kind="log.acknowledged",
            inputs={"signed_size": kept.size, "signed_root": kept.root.hex(), "signed_origin": kept.origin},
            outcome={"size": checkpoint.size, "root": checkpoint.root.hex(), "origin": checkpoint.origin},
        ),
        ctx=ctx,
    )
    # What was in the log before the break counts as it is. What follows is signed, apart from receipts of an earlier
    # version that a restored backup brings in its queue.
    unsigned = _unsigned_in_queue(ctx.tenant_id) if although_it_matches else 0
    checkpoint = replace(checkpoint, extensions=(signed_from_line(checkpoint.size + unsigned),))
    anchor.append_acknowledgement(tenant, checkpoint, reason=reason, at=clock.now())
    return checkpoint


def _unsigned_in_queue(tenant_id: uuid.UUID) -> int:
    queued = SealQueueEntry.objects.filter(tenant_id=tenant_id).values("id")
    return Receipt.objects.filter(tenant_id=tenant_id, id__in=queued, signature="").count()


def restart_point(
    anchor: Anchor, name: str, *, size: int, read: NodeReader, although_it_matches: bool = False
) -> tuple[AnchoredCheckpoint, AnchoredCheckpoint]:
    """Return the anchored checkpoint and the checkpoint from which the log continues. Raises `Conflict`."""
    kept = anchor.last(name)
    if kept is None:
        raise errors.Conflict("Nothing of this log was signed on this machine. Run the command where the sealer runs.")
    try:
        root = tree_root(size, read)
        is_signed_one = kept.size <= size and tree_root(kept.size, read) == kept.root
    except LogIncomplete as error:
        raise errors.Conflict(f"The log cannot go on: {error}. Restore the database from a backup.") from None
    if is_signed_one and not although_it_matches:
        raise errors.Conflict("The log is the one that was signed. There is nothing to acknowledge.")
    return kept, AnchoredCheckpoint(origin_after_break(kept.origin), size, root, is_acknowledgement=True)
