"""Return of a person whose membership ended."""

from __future__ import annotations

from django.db.models import QuerySet

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.confirmation import require_stepped_up_person
from threada_site.identity.dependence import record_dependence
from threada_site.identity.grants.grant_records import record_grants
from threada_site.identity.personal_notices import notify_person
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.authority_models import DependenceReason, GrantKind
from threada_site.tenancy.models import IdentityLink, Membership, User


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


def links_of(person: User, *, ctx: ActingContext) -> QuerySet[IdentityLink]:
    """Return the links of a person to identity providers that the person did not unlink, ended ones too."""
    links = IdentityLink.objects.select_related("provider").filter(tenant_id=ctx.tenant_id, user=person)
    return links.filter(unlinked_at=None).order_by("id")


def restore_identity_links(person: User, *, ctx: ActingContext) -> list[IdentityLink]:
    """Let the links of a member that ended sign in again, as a steward after a step-up. Return them.

    The member depends on the steward until somebody confirms the account, and is told. Receipt
    `identity.link_restored` for each. Raise `PermissionDenied`, `PersonRequired`, `StepUpRequired`, `NotFound` for a
    stranger and `Conflict` for oneself.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    require_stepped_up_person("the restoration of somebody's links", ctx=ctx)
    if person.id == ctx.principal_id:
        raise errors.Conflict("You cannot restore your own links. Another steward does.")
    if not Membership.objects.filter(tenant_id=ctx.tenant_id, user=person, accepted_at__isnull=False).exists():
        raise errors.NotFound("There is no such member in this tenant.")
    ended = links_of(person, ctx=ctx).exclude(ended_at=None)
    restored = list(ended.select_for_update(of=("self",)))
    for link in restored:
        link.ended_at = None
        link.save(update_fields=["ended_at"])
        inputs = {"principal": person.public_id, "provider": link.provider.slug, "link": link.public_id}
        record(Entry(kind="identity.link_restored", inputs=inputs), ctx=ctx)
        notify_person(person.id, "sign_in_linked", link.provider.name, ctx=ctx)
    if restored:
        record_dependence(person, DependenceReason.LINKED, ctx=ctx)
    return restored
