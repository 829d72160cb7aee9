"""Storage of proposed changes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.change_sets.receipts import record_change_set
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus
from threada_site.tenancy.change_sets import ProposedChange
from threada_site.tenancy.controllers import UNKNOWN, Control
from threada_site.tenancy.independence import read_controllers


def propose(change: ProposedChange, *, ctx: ActingContext) -> ChangeSet:
    """Store `change` as a change set, or return the open change set with its digest.

    Its parties include those who control the proposer and the parties now, so that a later owner changes nothing.

    Receipt `change_set.proposed`. Raise `OwnerRequired` for an agent or a service without a known owner.
    """
    require_unit_of_work(ctx.tenant_id)
    proposed_by = None if ctx.is_system else ctx.principal_id
    parties = change.parties | ({proposed_by} if proposed_by else set())
    controllers = read_controllers(ctx.tenant_id, parties)
    if proposed_by is not None and not ctx.is_person and controllers[proposed_by] is UNKNOWN:
        raise errors.OwnerRequired
    row = ChangeSet(
        id=ids.new_uuid(),
        tenant_id=ctx.tenant_id,
        rule=change.rule,
        operation=change.operation,
        title=change.title[:300],
        arguments=dict(change.arguments),
        before=change.before,
        after=change.after,
        digest=change.digest,
        proposed_by=proposed_by,
        parties=sorted(map(str, change.parties | _others(controllers))),
    )
    ChangeSet.objects.bulk_create([row], ignore_conflicts=True)
    stored = ChangeSet.objects.get(tenant_id=ctx.tenant_id, digest=row.digest, status=ChangeSetStatus.PROPOSED)
    if stored.id == row.id:
        record_change_set("change_set.proposed", stored, ctx=ctx)
    if change.also_store is not None:
        change.also_store(stored)
    return stored


def _others(controllers: Mapping[uuid.UUID, Control]) -> set[uuid.UUID]:
    """Return everybody who controls one of the principals, without themselves. Unknown ones are read again later."""
    known = {who: control.people - {who} for who, control in controllers.items() if control is not UNKNOWN}
    return set().union(*known.values())
