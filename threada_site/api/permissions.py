"""Scope checks. They run before any look-up, so that a refusal reveals nothing about existing objects."""

from __future__ import annotations

from typing import Any, Final

from rest_framework.permissions import BasePermission

from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope, Visibility
from threada_site.tenancy.independence import require_known_owner

_MANAGING: Final = frozenset({Scope.WORKFLOW_MANAGE, Scope.POLICIES_PUBLISH, Scope.INTEGRATIONS_MANAGE})
"""Scopes whose writes need a known owner of an agent or a service."""


class HasScope(BasePermission):
    """Permission by the scope of each method in `scopes`; other methods are not allowed.

    An agent or a service without a known owner asks, reads and executes, but manages nothing.
    """

    def has_permission(self, request: Any, view: Any) -> bool:
        method = "GET" if request.method == "HEAD" else request.method
        if method not in view.scopes:
            raise errors.MethodNotAllowed
        needed: Scope | None = view.scopes[method]
        context: ActingContext = request.auth
        if needed is not None and not context.has_scope_anywhere(needed):
            raise errors.ScopeMissing(
                f"This needs the scope {needed.value}, which the credential or its roles do not have."
            )
        if method != "GET" and needed in _MANAGING:
            require_known_owner(context)
        return True


def require(context: ActingContext, scope: Scope, **target: Any) -> None:
    """Raise `PermissionDenied` unless `scope` is held on the tenant or on the given `workflow` or `integration`."""
    if not context.allows(scope, **target):
        raise errors.PermissionDenied(f"You do not hold {scope.value} here.")


def require_reader(context: ActingContext) -> None:
    """Raise `PermissionDenied` unless `context` reads the whole tenant."""
    require(context, Scope.WORKITEMS_READ)
    if context.visibility is not Visibility.TENANT:
        raise errors.PermissionDenied("You see your own work items only. This needs a role that sees the whole tenant.")
