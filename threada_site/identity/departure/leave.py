"""Departure of the acting person, of their own accord."""

from __future__ import annotations

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.departure.end import end_membership
from threada_site.identity.departure.outcome import Departure, DepartureReason
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, AuthenticationMethod
from threada_site.tenancy.four_eyes import stewards
from threada_site.tenancy.models import Membership, User

_IN_SESSION = frozenset({AuthenticationMethod.SESSION, AuthenticationMethod.IDENTITY_PROVIDER})


def leave_tenant(*, ctx: ActingContext) -> Departure:
    """End the membership of the acting person. Receipt `member.removed` with the reason `left`.

    Raise `PersonRequired` for services, agents and the operator, `PermissionDenied` for a token, `LastSteward` if no
    other steward would be left.
    """
    require_unit_of_work(ctx.tenant_id)
    if not ctx.is_person:
        raise errors.PersonRequired("Only a person can leave a tenant.")
    if ctx.authentication.method not in _IN_SESSION:
        raise errors.PermissionDenied("People leave a tenant in the console. A token is not enough.")
    require_another_steward(User.objects.get(id=ctx.principal_id), ctx=ctx)
    return end_membership(User.objects.get(id=ctx.principal_id), reason=DepartureReason.LEFT, ctx=ctx)


def require_another_steward(leaving: User, *, ctx: ActingContext) -> None:
    """Raise `LastSteward` if `leaving` is the only steward of the tenant. Two who leave at once wait for each other."""
    found = stewards(ctx.tenant_id)
    if leaving.id not in found:
        return
    locked = Membership.objects.filter(tenant_id=ctx.tenant_id, user_id__in=found).order_by("id").select_for_update()
    list(locked.values_list("id", flat=True))
    if not set(stewards(ctx.tenant_id)) - {leaving.id}:
        raise errors.LastSteward
