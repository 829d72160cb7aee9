"""Permission to manage principals, roles and credentials. Pure."""

from __future__ import annotations

import uuid

from threada_site.kernel import errors
from threada_site.kernel.context import ALL_SCOPES, ActingContext, Scope


def is_steward(ctx: ActingContext) -> bool:
    """Return True if `ctx` has every scope of the tenant, or is the system.

    A principal with fewer scopes could otherwise give out more permissions than it has.
    """
    return ctx.is_system or ctx.scopes >= ALL_SCOPES


def is_steward_or_auditor(ctx: ActingContext) -> bool:
    """Return True if `ctx` may read who holds what in the tenant, and proofs of its configuration."""
    return is_steward(ctx) or ctx.allows(Scope.TELEMETRY_READ)


def require_steward(ctx: ActingContext) -> None:
    """Raise `PermissionDenied` unless `ctx` is a steward of the tenant."""
    if not is_steward(ctx):
        raise errors.PermissionDenied("Managing people and roles needs a role with every scope: tenant_admin.")


def require_steward_or_self(ctx: ActingContext, principal_id: uuid.UUID) -> None:
    """Raise `PermissionDenied` if `ctx` acts on another principal without being a steward."""
    if ctx.principal_id != principal_id and not is_steward(ctx):
        raise errors.PermissionDenied("Only a tenant_admin can manage credentials of others.")
