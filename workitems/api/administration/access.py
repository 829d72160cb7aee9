"""Permissions of the administration endpoints. The services check those of writes again."""

from __future__ import annotations

from threada_site.api.permissions import require, require_reader
from threada_site.kernel.context import ActingContext, Scope

__all__ = ["require_publisher", "require_reader"]


def require_publisher(ctx: ActingContext) -> None:
    """Raise `PermissionDenied` unless `ctx` may change the rules in force."""
    require(ctx, Scope.POLICIES_PUBLISH)
