"""Owners of agents and services: people whom rules exclude from decisions on requests of these, by default."""

from __future__ import annotations

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.selectors import principal_of_tenant
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.models import Membership, User


def set_owner(principal: User, owner: str, *, ctx: ActingContext) -> None:
    """Set the owner of `principal` in this tenant; "" removes it. Receipt `principal.owner_set`.

    Nothing happens if the owner is set already. Open steps keep their exclusions. Raise `InvalidRequest` if
    `principal` is a person or not a member, or if `owner` is not an active person of the tenant.
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
    if principal.kind == PrincipalKind.HUMAN and owner:
        raise _refused(
            "People answer for themselves. Only an agent or a service has an owner.",
            "/owner",
            "does not apply",
            "not_applicable",
        )
    person = _person(owner, ctx=ctx) if owner else None
    if membership.owner_id == (person.id if person else None):
        return
    membership.owner = person
    membership.save(update_fields=["owner"])
    inputs = {"principal": principal.public_id, "owner": person.public_id if person else None}
    record(Entry(kind="principal.owner_set", inputs=inputs), ctx=ctx)


def _person(name: str, *, ctx: ActingContext) -> User:
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
