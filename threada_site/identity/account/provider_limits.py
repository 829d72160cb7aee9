"""Limits of sessions that an identity provider opened: changes of the person's account."""

from __future__ import annotations

from threada_site.identity.selectors import tenants_of_person
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, AuthenticationMethod
from threada_site.tenancy.models import User


def may_change_account(ctx: ActingContext) -> bool:
    """Return False in a session that an identity provider opened, if the person is a member of other tenants too.

    Whoever administers the provider can open such a session and confirm a step-up in it. Mail address and second
    factors belong to the account, and lead into its other tenants. Needs no unit of work.
    """
    if ctx.authentication.method is not AuthenticationMethod.IDENTITY_PROVIDER:
        return True
    person = User.objects.get(id=ctx.principal_id)
    return all(tenant.tenant_id == ctx.tenant_id for tenant in tenants_of_person(person))


def require_account_change(ctx: ActingContext) -> None:
    """Raise `PermissionDenied` unless `may_change_account`."""
    if not may_change_account(ctx):
        raise errors.PermissionDenied(
            "An identity provider opened this session, and you are a member of other tenants too. Sign in with your "
            "password or a passkey to change this."
        )
