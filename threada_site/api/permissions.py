"""Scope before existence: a request without the scope learns nothing about what exists."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import BasePermission

from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope


class HasScope(BasePermission):
    """Each view names in `scopes` which scope each method needs; a method it does not name is not allowed."""

    def has_permission(self, request: Any, view: Any) -> bool:
        method = "GET" if request.method == "HEAD" else request.method
        if method not in view.scopes:
            raise errors.MethodNotAllowed
        needed: Scope | None = view.scopes[method]
        context: ActingContext = request.auth
        if needed is not None and not context.has_scope_anywhere(needed):
            raise errors.ScopeMissing(f"This needs the scope {needed.value}, which the credential or its roles lack.")
        return True


def require(context: ActingContext, scope: Scope, **target: Any) -> None:
    """Refuse (403) unless `scope` is held on the tenant or on the named `workflow` or `integration` (ids)."""
    if not context.allows(scope, **target):
        raise errors.PermissionDenied(f"You do not hold {scope.value} here.")
