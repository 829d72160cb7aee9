"""Owners of agents and services: people whom rules exclude from decisions on requests of these, by default.

An agent or a service without a known owner (`threada_site.tenancy.independence`) asks, reads and executes, and changes
nothing else. Its cases whose rule excludes the requester wait until an owner is named.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.db.models import BooleanField, Q, QuerySet
from django.db.models.expressions import RawSQL

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work, unit_of_work
from threada_site.identity.confirmation import require_second_steward
from threada_site.identity.dependence import end_dependences, open_dependences, record_dependence
from threada_site.identity.known_as import known_as
from threada_site.identity.selectors import principal_of_tenant
from threada_site.identity.stewardship import require_steward
from threada_site.jobs.enqueue import MAINTENANCE_QUEUE, enqueue
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.authority_models import AccountDependence, DependenceReason
from threada_site.tenancy.controllers import UNKNOWN
from threada_site.tenancy.independence import read_controllers
from threada_site.tenancy.models import Credential, Membership, Tenant, TrustedIssuer, User

CHECK_REACHABILITY: Final = "workitems.check_reachability"
"""Name of the task that checks the open steps of a tenant again."""


def without_known_owner(tenant_id: uuid.UUID) -> QuerySet[Membership]:
    """Return the memberships of the active agents and services of a tenant whose control is unknown, by name.

    Nobody owns them, the owner has left or not accepted the invitation yet, or the same is true of an agent or a
    service that added one, issued a credential for it or maps it; or a person who did so has left.
    """
    rows = Membership.objects.filter(tenant_id=tenant_id, user__is_active=True).exclude(
        user__kind=PrincipalKind.HUMAN.value
    )
    is_unknown = RawSQL(
        "threada_controllers(tenancy_membership.user_id, %s) IS NULL", [tenant_id], output_field=BooleanField()
    )
    return rows.filter(is_unknown).select_related("user", "owner").order_by("user__username")


def ownerless_by_tenant() -> dict[str, list[str]]:
    """Return, by slug of the active tenant, the names of agents and services without a known owner, if there are any.

    Opens a unit of work in each tenant.
    """
    found = {}
    for tenant in Tenant.objects.filter(is_active=True).order_by("slug"):
        with unit_of_work(tenant.id):
            if names := list(without_known_owner(tenant.id).values_list("user__username", flat=True)):
                found[tenant.slug] = names
    return found


def set_owner(principal: User, owner: str, *, ctx: ActingContext) -> None:
    """Set the owner of `principal` in this tenant; "" removes it. Receipt `principal.owner_set`.

    Nothing happens if the owner is set already, unless the control of the principal is unknown. Open steps keep their
    exclusions; those that wait for an owner are checked again. Raise `InvalidRequest` if `principal` is a person or not
    a member, or if `owner` is not an active person of the tenant; `ConfirmationRequired` where a second steward must
    confirm it.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    membership = (
        Membership.objects.select_for_update(of=("self",)).filter(tenant_id=ctx.tenant_id, user=principal).first()
    )
    if membership is None:
        raise _refused(
            "The principal is not a member of this tenant. Add it.", "/principal", "is not a member", "not_a_member"
        )
    person = owner_named(owner, of=PrincipalKind(principal.kind), ctx=ctx)
    if membership.owner_id == (person.id if person else None) and not (person and _is_unknown(membership)):
        return
    before, after = membership.owner.username if membership.owner else None, person.username if person else None
    require_second_steward(
        "set_owner",
        f"Set the owner of {principal.username}",
        {"principal": principal.public_id, "owner": owner},
        before={principal.username: {"owner": before}},
        after={principal.username: {"owner": after}},
        ctx=ctx,
    )
    write_owner(membership, person, ctx=ctx)


def write_owner(membership: Membership, owner: User | None, *, ctx: ActingContext) -> None:
    """Store the owner with its receipt. The caller has checked permissions and confirmation.

    If one steward alone names the owner, the agent or service depends on the steward until an independent one confirms
    it (`confirm_account`), and still on the previous owner. The owner answers for what people who left added or issued.
    """
    principal = membership.user
    is_alone = not ctx.is_system and ctx.change_set_id is None
    if membership.owner_id is not None and membership.owner_id != (owner.id if owner else None) and is_alone:
        record_dependence(principal, DependenceReason.OWNED, on=membership.owner_id, ctx=ctx)
    if owner is not None:
        if is_alone and ctx.principal_id not in (owner.id, membership.added_by):
            record_dependence(principal, DependenceReason.NAMED, ctx=ctx)
        _answer_for_departed(membership, ctx=ctx)
    membership.owner = owner
    membership.save(update_fields=["owner"])
    inputs = {"principal": principal.public_id, "owner": known_as(owner, tenant_id=ctx.tenant_id) if owner else None}
    record(Entry(kind="principal.owner_set", inputs=inputs), ctx=ctx)
    enqueue(CHECK_REACHABILITY, tenant_id=ctx.tenant_id, queue=MAINTENANCE_QUEUE)


def depend_on_authors(spec: Mapping[str, Any], authors: Iterable[uuid.UUID | None], *, ctx: ActingContext) -> None:
    """Let agents and services that a trusted issuer can name now depend again on `authors` who returned to the tenant.

    An owner who was named after the authors had left answers for what they had written before, not for `spec`.
    """
    known = {who for who in authors if who}
    found = AccountDependence.objects.filter(tenant_id=ctx.tenant_id, depends_on_id__in=known, ended_at__isnull=False)
    for row in found.exclude(user__kind=PrincipalKind.HUMAN.value).select_related("user").order_by("id"):
        if _maps(spec, row.user.username):
            record_dependence(row.user, DependenceReason.ISSUED, on=row.depends_on_id, ctx=ctx)


def _is_unknown(membership: Membership) -> bool:
    return read_controllers(membership.tenant_id, [membership.user_id])[membership.user_id] is UNKNOWN


def _answer_for_departed(membership: Membership, *, ctx: ActingContext) -> None:
    """End the dependences on those who added the principal, issued a live credential or map it, and have left.

    `threada_controllers` names them still, but no longer takes the control for unknown because of them.
    """
    makers = _makers(membership)
    staying = Membership.objects.filter(
        tenant_id=ctx.tenant_id, user_id__in=makers, user__is_active=True, accepted_at__isnull=False
    )
    departed = makers.keys() - set(staying.values_list("user_id", flat=True))
    for maker in sorted(departed):
        record_dependence(membership.user, makers[maker], on=maker, ctx=ctx)
    found = open_dependences(membership.user_id, tenant_id=ctx.tenant_id) if departed else []
    end_dependences(membership.user, [row for row in found if row.depends_on_id in departed], ctx=ctx)


def _makers(membership: Membership) -> dict[uuid.UUID, DependenceReason]:
    """Return the ids of those who added an agent or a service, issued a live credential for it, or map it now."""
    tenant_id, principal = membership.tenant_id, membership.user
    issued = Credential.objects.filter(tenant_id=tenant_id, user=principal, revoked_at=None)
    issuers = issued.filter(Q(expires_at=None) | Q(expires_at__gt=clock.now())).values_list("issued_by", flat=True)
    versions = TrustedIssuer.objects.filter(tenant_id=tenant_id, current_version__isnull=False).values_list(
        "current_version__spec", "current_version__created_by", "current_version__proposed_by"
    )
    authors = [people for spec, *people in versions if _maps(spec, principal.username)]
    found = {who: DependenceReason.ISSUED for who in (*issuers, *(who for people in authors for who in people)) if who}
    return {**found, **({membership.added_by: DependenceReason.CREATED} if membership.added_by else {})}


def _maps(spec: Mapping[str, Any], name: str) -> bool:
    """Return True if a trusted issuer with this document can name the agent or service."""
    return any(one.get("principal") == name or "principal_from" in one for one in spec.get("mappings", ()))


def owner_named(name: str, *, of: PrincipalKind, ctx: ActingContext) -> User | None:
    """Return the active person of the tenant who is to own a principal of this kind; None for "".

    Raise `InvalidRequest`.
    """
    if not name:
        return None
    if of is PrincipalKind.HUMAN:
        raise _refused(
            "People answer for themselves. Only an agent or a service has an owner.",
            "/owner",
            "does not apply",
            "not_applicable",
        )
    person = principal_of_tenant(ctx.tenant_id, name)
    if person is None or person.kind != PrincipalKind.HUMAN or not person.is_active:
        raise _refused(
            f"The owner {name[:63]!r} is not an active person of this tenant.",
            "/owner",
            "is not a person",
            "not_a_person",
        )
    return person


def _refused(detail: str, pointer: str, said: str, code: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(detail, errors=[FieldError(pointer, said, code)])
