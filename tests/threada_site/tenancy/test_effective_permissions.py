"""Effective permissions, decided purely from the rows of `threada_grants`."""

from __future__ import annotations

import uuid

from threada_site.kernel.context import ALL_SCOPES, INSIDE_WORKFLOW_MANAGE, Scope
from threada_site.tenancy.effective_permissions import EffectivePermissions, effective_permissions

TENANT = uuid.UUID(int=1)
WORKFLOW = uuid.UUID(int=2)
INTEGRATION = uuid.UUID(int=3)

ROWS = [
    ("requester", "tenant", str(TENANT), "workitems_read"),
    ("requester", "tenant", str(TENANT), "workitems_write"),
    ("reviewer", "workflow", str(WORKFLOW), "decisions_decide"),
    ("reviewer", "integration", str(INTEGRATION), "actions_execute"),
    (None, "workflow", str(WORKFLOW), "workitems_write"),
    ("requester", "tenant", str(uuid.UUID(int=9)), "telemetry_read"),
    ("requester", "tenant", str(TENANT), "view_tenant"),
    ("empty", None, None, None),
    (None, "people_group", "board", None),
]


def permissions(asked: set[str] | None = None, role: str | None = None) -> EffectivePermissions:
    return effective_permissions(ROWS, tenant_id=TENANT, asked=asked, role=role)


def test_roles_and_direct_grants_add_up() -> None:
    found = permissions()
    assert found.roles == {"requester", "reviewer", "empty"}
    assert found.scopes == {Scope.WORKITEMS_READ, Scope.WORKITEMS_WRITE}
    assert found.grants.workflows == {WORKFLOW: {Scope.DECISIONS_DECIDE, Scope.WORKITEMS_WRITE}}
    assert found.grants.integrations == {INTEGRATION: {Scope.ACTIONS_EXECUTE}}


def test_a_credential_cuts_what_it_did_not_ask_for() -> None:
    found = permissions(asked={"workitems:read", "telemetry:read"})
    assert found.scopes == {Scope.WORKITEMS_READ}
    assert (found.grants.workflows, found.grants.integrations) == ({}, {})


def test_one_role_alone_drops_the_others_and_what_was_granted_directly() -> None:
    found = permissions(role="reviewer")
    assert (found.roles, found.scopes) == ({"reviewer"}, frozenset())
    assert found.grants.workflows == {WORKFLOW: {Scope.DECISIONS_DECIDE}}


def test_a_role_not_held_leaves_nothing() -> None:
    found = permissions(role="tenant_admin")
    assert (found.roles, found.scopes, bool(found.grants)) == (frozenset(), frozenset(), False)


def test_nothing_narrows_the_groups_one_is_in() -> None:
    assert (
        permissions().groups
        == permissions(asked={"workitems:read"}).groups
        == permissions(role="tenant_admin").groups
        == {"board"}
    )


def test_another_tenants_grants_and_djangos_own_permissions_count_for_nothing() -> None:
    assert Scope.TELEMETRY_READ not in permissions().scopes


def test_workflow_manage_holds_its_narrower_scopes_on_both_sides() -> None:
    everything = [("admin", "tenant", str(TENANT), scope.codename) for scope in ALL_SCOPES]
    asked = effective_permissions(everything, tenant_id=TENANT, asked=["workflow:manage"])
    granted = effective_permissions(
        [("manager", "tenant", str(TENANT), "workflow_manage")], tenant_id=TENANT, asked=["policies:publish"]
    )
    assert asked.scopes == INSIDE_WORKFLOW_MANAGE | {Scope.WORKFLOW_MANAGE}
    assert granted.scopes == {Scope.POLICIES_PUBLISH}
