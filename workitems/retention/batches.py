"""One retention batch with its own units of work; archives are sent to other machines between them."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors.retention import ArchiveOutdated
from workitems.retention.archive_ahead import archive_target, send, spool, spooling
from workitems.retention.archive_target import Target
from workitems.retention.locks import lock_retention
from workitems.retention.run import BATCH, Batch, apply_batch, due_batch, open_run

TRIES: Final = 3


def take_batch(*, now: datetime, ctx: ActingContext, size: int = BATCH) -> Batch:
    """Apply one batch like `apply_batch`; archives on other machines are stored and verified before the removal.

    Raise the errors of `apply_batch`. May be killed at any time and repeated.
    """
    for _ in range(TRIES - 1):
        try:
            return _take(now=now, ctx=ctx, size=size)
        except ArchiveOutdated:
            continue  # the cases have changed meanwhile
    return _take(now=now, ctx=ctx, size=size)


def _take(*, now: datetime, ctx: ActingContext, size: int) -> Batch:
    with unit_of_work(ctx.tenant_id):
        lock_retention(ctx=ctx)
        run = open_run(ctx.tenant_id)
        due = due_batch(run, now=now, size=size) if run is not None else None
        target = archive_target(ctx) if due is not None and due.archived else None
        if not isinstance(target, Target):
            return apply_batch(now=now, ctx=ctx, size=size)
    with spooling() as own:
        with unit_of_work(ctx.tenant_id):
            lock_retention(ctx=ctx)
            run = open_run(ctx.tenant_id)
            due = due_batch(run, now=now, size=size) if run is not None else None
            if run is None or due is None or not due.archived:
                return apply_batch(now=now, ctx=ctx, size=size)
            ahead = spool(target, own, run, due.phase, due.archived, ctx=ctx)
        send(target, ahead)
        with unit_of_work(ctx.tenant_id):
            return apply_batch(now=now, ctx=ctx, size=size, ahead=ahead)
