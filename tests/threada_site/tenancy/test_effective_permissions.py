"""Effective permissions, computed from the rows of `threada_grants`."""

from __future__ import annotations

import uuid

from threada_site.kernel.context import ALL_SCOPES, INSIDE_WORKFLOW_MANAGE, Scope, Visibility
from threada_site.tenancy.effective_permissions import EffectivePermissions, effective_permissions

TENANT = uuid.UUID(int=1)
WORKFLOW = uuid.UUID(int=2)
INTEGRATION = uuid.UUID(int=3)

ROWS = [
    ("requester", "tenant", str(TENANT), "workitems_read", "own"),
    ("requester", "tenant", str(TENANT), "workitems_write", "own"),
    ("reviewer", "workflow", str(WORKFLOW), "decisions_decide", "tenant"),
    ("reviewer", "integration", str(INTEGRATION), "actions_execute", "tenant"),
    (None, "workflow", str(WORKFLOW), "workitems_write", "tenant"),
    ("requester", "tenant", str(uuid.UUID(int=9)), "telemetry_read", "own"),
    ("requester", "tenant", str(TENANT), "view_tenant", "own"),
    ("empty", None, None, None, None),
    (None, "people_group", "board", None, None),
]


def permissions(asked: set[str] | None = None, role: str | None = None) -> EffectivePermissions:
    return effective_permissions(ROWS, tenant_id=TENANT, asked=asked, role=role)


def test_roles_and_object_grants_are_combined() -> None:
    found = permissions()
    assert found.roles == {"requester", "reviewer", "empty"}
    assert found.scopes == {Scope.WORKITEMS_READ, Scope.WORKITEMS_WRITE}
    assert found.grants.workflows == {WORKFLOW: {Scope.DECISIONS_DECIDE, Scope.WORKITEMS_WRITE}}
    assert found.grants.integrations == {INTEGRATION: {Scope.ACTIONS_EXECUTE}}


def test_credential_narrows_permissions_to_its_scopes() -> None:
    found = permissions(asked={"workitems:read", "telemetry:read"})
    assert found.scopes == {Scope.WORKITEMS_READ}
    assert (found.grants.workflows, found.grants.integrations) == ({}, {})


def test_one_role_excludes_other_roles_and_object_grants() -> None:
    found = permissions(role="reviewer")
    assert (found.roles, found.scopes) == ({"reviewer"}, frozenset())
    assert found.grants.workflows == {WORKFLOW: {Scope.DECISIONS_DECIDE}}


def test_role_that_is_not_assigned_grants_nothing() -> None:
    found = permissions(role="tenant_admin")
    assert (found.roles, found.scopes, bool(found.grants)) == (frozenset(), frozenset(), False)


def test_groups_are_never_narrowed() -> None:
    assert (
        permissions().groups
        == permissions(asked={"workitems:read"}).groups
        == permissions(role="tenant_admin").groups
        == {"board"}
    )


def test_grants_of_another_tenant_and_django_permissions_are_ignored() -> None:
    assert Scope.TELEMETRY_READ not in permissions().scopes


def test_workflow_manage_includes_the_narrower_scopes() -> None:
    everything = [("admin", "tenant", str(TENANT), scope.codename, "tenant") for scope in ALL_SCOPES]
    asked = effective_permissions(everything, tenant_id=TENANT, asked=["workflow:manage"])
    granted = effective_permissions(
        [("manager", "tenant", str(TENANT), "workflow_manage", "tenant")], tenant_id=TENANT, asked=["policies:publish"]
    )
    assert asked.scopes == INSIDE_WORKFLOW_MANAGE | {Scope.WORKFLOW_MANAGE}
    assert granted.scopes == {Scope.POLICIES_PUBLISH}


def visibility_of(*rows: tuple[str | None, str, str, str, str], role: str | None = None) -> Visibility:
    return effective_permissions(rows, tenant_id=TENANT, asked=None, role=role).visibility


def test_only_roles_marked_own_limit_a_principal_to_its_own_cases() -> None:
    own = ("requester", "tenant", str(TENANT), "workitems_read", "own")
    viewer = ("viewer", "tenant", str(TENANT), "workitems_read", "tenant")
    decides = ("decider", "tenant", str(TENANT), "decisions_decide", "tenant")
    elsewhere = ("viewer", "tenant", str(uuid.UUID(int=9)), "workitems_read", "tenant")
    assert visibility_of(own) is visibility_of(own, decides) is visibility_of(own, elsewhere) is Visibility.OWN
    assert visibility_of(own, viewer) is visibility_of(viewer) is visibility_of() is Visibility.TENANT
    assert visibility_of(own, viewer, role="requester") is Visibility.OWN
    assert visibility_of(own, viewer, role="viewer") is Visibility.TENANT
