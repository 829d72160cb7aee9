"""Default roles of every tenant. Pure."""

from __future__ import annotations

from typing import Final

from threada_site.kernel.context import ALL_SCOPES, Scope, Visibility

OWN_ROLES: Final = frozenset({"requester", "client"})
"""Default roles whose members see only their own work items and those that name them."""
_REQUESTER: Final = frozenset({Scope.WORKITEMS_READ, Scope.WORKITEMS_WRITE})
_CLIENT: Final = _REQUESTER | {Scope.ACTIONS_EXECUTE}

DEFAULT_ROLES: Final[dict[str, frozenset[Scope]]] = {
    "viewer": frozenset({Scope.WORKITEMS_READ}),
    "requester": _REQUESTER,
    "client": _CLIENT,
    "operator": _CLIENT | {Scope.TELEMETRY_READ, Scope.ACTIONS_FREEZE, Scope.DECISIONS_DECIDE},
    "approver": frozenset({Scope.WORKITEMS_READ, Scope.DECISIONS_DECIDE}),
    "policy_author": frozenset({Scope.WORKITEMS_READ, Scope.POLICIES_WRITE}),
    "policy_publisher": frozenset({Scope.WORKITEMS_READ, Scope.POLICIES_PUBLISH}),
    "integration_manager": frozenset({Scope.WORKITEMS_READ, Scope.INTEGRATIONS_MANAGE}),
    "auditor": frozenset({Scope.WORKITEMS_READ, Scope.TELEMETRY_READ}),
    "tenant_admin": ALL_SCOPES,
}


def default_visibility(role: str) -> Visibility:
    """Return the visibility of a new role."""
    return Visibility.OWN if role in OWN_ROLES else Visibility.TENANT
