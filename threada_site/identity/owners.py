"""Owners of agents and services: people whom rules exclude from decisions on requests of these, by default."""

from __future__ import annotations

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.confirmation import require_second_steward
from threada_site.identity.dependence import record_dependence
from threada_site.identity.selectors import principal_of_tenant
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.authority_models import DependenceReason
from threada_site.tenancy.models import Membership, User


def set_owner(principal: User, owner: str, *, ctx: ActingContext) -> None:
    """Set the owner of `principal` in this tenant; "" removes it. Receipt `principal.owner_set`.

    Nothing happens if the owner is set already. Open steps keep their exclusions. Raise `InvalidRequest` if
    `principal` is a person or not a member, or if `owner` is not an active person of the tenant;
    `ConfirmationRequired` where a second steward must confirm it.
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
    if membership.owner_id == (person.id if person else None):
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

    If one steward alone replaces the owner, the agent or service still depends on the previous one.
    """
    if membership.owner_id is not None and not ctx.is_system and ctx.change_set_id is None:
        record_dependence(membership.user, DependenceReason.OWNED, on=membership.owner_id, ctx=ctx)
    membership.owner = owner
    membership.save(update_fields=["owner"])
    inputs = {"principal": membership.user.public_id, "owner": owner.public_id if owner else None}
    record(Entry(kind="principal.owner_set", inputs=inputs), ctx=ctx)


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
