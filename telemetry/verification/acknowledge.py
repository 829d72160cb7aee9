"""Acknowledgement of a broken log by an operator, recorded in the anchor where the sealer reads it."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from telemetry.log.anchor import Anchor, AnchoredCheckpoint
from telemetry.log.rows import LogIncomplete
from telemetry.log.store import LOCK_FOR_SEALING
from telemetry.models import LogAlarm, Receipt, SealQueueEntry
from telemetry.receipts.authentic import LOG_ACKNOWLEDGED
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from telemetry.selectors import log_nodes, log_size, newest_checkpoint
from telemetry.tlog.checkpoint import (
    CLOCKS_DIFFER,
    COMPLETE_AFTER,
    Checkpoint,
    complete_until_line,
    origin_after_break,
    signed_from_line,
    times_restored,
)
from telemetry.tlog.note import SignedNote
from telemetry.tlog.proofs import NodeReader, tree_root
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext


class RestartPoint(NamedTuple):
    """The anchored checkpoint, the one from which the log continues, and whether the log extends the anchored one."""

    kept: AnchoredCheckpoint
    checkpoint: AnchoredCheckpoint
    matches: bool


def acknowledge_log(
    anchor: Anchor, *, reason: str, ctx: ActingContext, although_it_matches: bool = False
) -> AnchoredCheckpoint:
    """Let the tenant's log continue from the rows in the database, under a new origin.

    Two checkpoints of one log must be consistent with each other, and their `complete-until` never goes back. The
    continued log is therefore a new log with a new name. Raises `Conflict` if leaves are missing, or if the log matches
    its signed checkpoint and no clock was ahead when it was signed. `although_it_matches`: also continue any other log
    that matches, because another instance may have continued it.
    """
    require_unit_of_work(ctx.tenant_id)
    with connection.cursor() as cursor:
        cursor.execute(LOCK_FOR_SEALING, [str(ctx.tenant_id)])
    tenant = ids.public_id(ids.TENANT, ctx.tenant_id)
    now = clock.now()
    was_ahead = _was_clock_ahead(anchor.last(tenant), ctx.tenant_id, now=now)
    kept, checkpoint, matches = restart_point(
        anchor,
        tenant,
        size=log_size(ctx.tenant_id),
        read=log_nodes(ctx.tenant_id),
        although_it_matches=although_it_matches or was_ahead,
    )
    alarms = LogAlarm.objects.filter(tenant_id=ctx.tenant_id, acknowledged_at__isnull=True)
    alarms.update(acknowledged_at=now, reason=reason)
    said = {"signed_size": kept.size, "signed_root": kept.root.hex(), "signed_origin": kept.origin}
    if kept.complete_until is not None:
        said["signed_complete_until"] = clock.rfc3339(kept.complete_until)
    record(
        Entry(
            kind=LOG_ACKNOWLEDGED,
            inputs=said,
            outcome={"size": checkpoint.size, "root": checkpoint.root.hex(), "origin": checkpoint.origin},
        ),
        ctx=ctx,
    )
    lines: list[str] = []
    if was_ahead:
        lines.append(complete_until_line(now - COMPLETE_AFTER))
    if was_ahead and matches and not although_it_matches:
        lines += [] if kept.signed_from is None else [signed_from_line(kept.signed_from)]
    else:
        # What was in the log before the break counts as it is. What follows is signed, apart from receipts of an
        # earlier version that a restored backup brings in its queue.
        unsigned = _unsigned_in_queue(ctx.tenant_id) if although_it_matches else 0
        lines.append(signed_from_line(checkpoint.size + unsigned))
    checkpoint = replace(checkpoint, extensions=tuple(lines))
    anchor.append_acknowledgement(tenant, checkpoint, reason=reason, at=now)
    return checkpoint


def _was_clock_ahead(kept: AnchoredCheckpoint | None, tenant_id: uuid.UUID, *, now: datetime) -> bool:
    """Return True if the log is said to be complete until a time that no correct clock has reached yet.

    The anchor says so, or the database, or an operator continued the log for that reason on another machine.
    """
    newest = newest_checkpoint(tenant_id)
    if kept is None or newest is None:
        return False
    signed = Checkpoint.parse(SignedNote.parse(newest.note).text)
    if times_restored(signed.origin) > times_restored(kept.origin):
        return True
    of_log = [kept.complete_until, signed.complete_until if signed.origin == kept.origin else None]
    return any(until is not None and until > now - COMPLETE_AFTER + CLOCKS_DIFFER for until in of_log)


def _unsigned_in_queue(tenant_id: uuid.UUID) -> int:
    queued = SealQueueEntry.objects.filter(tenant_id=tenant_id).values("id")
    return Receipt.objects.filter(tenant_id=tenant_id, id__in=queued, signature="").count()


def restart_point(
    anchor: Anchor, name: str, *, size: int, read: NodeReader, although_it_matches: bool = False
) -> RestartPoint:
    """Return where the log continues. Raises `Conflict`."""
    kept = anchor.last(name)
    if kept is None:
        raise errors.Conflict("Nothing of this log was signed on this machine. Run the command where the sealer runs.")
    try:
        root = tree_root(size, read)
        is_signed_one = kept.size <= size and tree_root(kept.size, read) == kept.root
    except LogIncomplete as error:
        raise errors.Conflict(f"The log cannot go on: {error}. Restore the database from a backup.") from None
    if is_signed_one and not although_it_matches:
        raise errors.Conflict(
            "The log is the one that was signed, and the time of its checkpoint is right by the clock of this machine. "
            "There is nothing to acknowledge."
        )
    goes_on = AnchoredCheckpoint(origin_after_break(kept.origin), size, root, is_acknowledgement=True)
    return RestartPoint(kept, goes_on, is_signed_one)
