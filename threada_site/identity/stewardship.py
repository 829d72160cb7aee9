"""Who may change who may act. Pure."""

from __future__ import annotations

import uuid

from threada_site.kernel import errors
from threada_site.kernel.context import ALL_SCOPES, ActingContext


def is_steward(ctx: ActingContext) -> bool:
    """Whether `ctx` may manage people, roles and credentials: it holds every scope of the tenant, or is Threada itself.

    Whoever holds less could otherwise hand out more than they have.
    """
    return ctx.is_system or ctx.scopes >= ALL_SCOPES


def require_steward(ctx: ActingContext) -> None:
    """Refuse (403) whoever is no steward of the tenant."""
    if not is_steward(ctx):
        raise errors.PermissionDenied("Managing people and roles needs a role that holds every scope: tenant_admin.")


def require_steward_or_self(ctx: ActingContext, principal_id: uuid.UUID) -> None:
    """Refuse (403) whoever acts upon another principal's credentials without being a steward."""
    if ctx.principal_id != principal_id and not is_steward(ctx):
        raise errors.PermissionDenied("Another principal's credentials are managed by a tenant_admin.")
