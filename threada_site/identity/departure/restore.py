"""Return of a person whose membership ended."""

from __future__ import annotations

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.grants.grant_records import record_grants
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.authority_models import GrantKind
from threada_site.tenancy.models import Membership, User


def restore_membership(person: User, *, source: str = "", ctx: ActingContext) -> Membership:
    """Make a person a member again, without previous roles, groups, tokens, sessions, links or delegations.

    The membership is accepted at once: call it only for a provisioning client or the operator, who vouch for the
    person. Links to identity providers stay ended until the person links them anew. Nothing happens if the person is a
    member. `source` names the client in the receipt `member.added`. The caller has checked permissions. Raise
    `Conflict` for a service, an agent or an erased account.
    """
    require_unit_of_work(ctx.tenant_id)
    if person.kind != PrincipalKind.HUMAN or not person.is_active:
        raise errors.Conflict("Only a person whose account was not erased can return.")
    membership, is_new = Membership.objects.get_or_create(
        tenant_id=ctx.tenant_id,
        user=person,
        defaults={"added_by": None if ctx.is_system else ctx.principal_id, "accepted_at": clock.now()},
    )
    if not is_new:
        return membership
    record_grants([person.id], GrantKind.MEMBER, source=source, ctx=ctx)
    origin = {"source": source} if source else {}
    inputs = {"principal": person.public_id, "returned": True, **origin}
    record(Entry(kind="member.added", inputs=inputs), ctx=ctx)
    return membership
