"""Permissions of the administration endpoints. The services check those of writes again."""

from __future__ import annotations

from threada_site.api.permissions import require
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope, Visibility


def require_reader(ctx: ActingContext) -> None:
    """Raise `PermissionDenied` unless `ctx` reads the whole tenant."""
    require(ctx, Scope.WORKITEMS_READ)
    if ctx.visibility is not Visibility.TENANT:
        raise errors.PermissionDenied("You see your own work items only. This needs a role that sees the whole tenant.")


def require_publisher(ctx: ActingContext) -> None:
    """Raise `PermissionDenied` unless `ctx` may change the rules in force."""
    require(ctx, Scope.POLICIES_PUBLISH)
