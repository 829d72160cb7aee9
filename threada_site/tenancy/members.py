"""Members of a tenant with their current permissions, in one statement."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from threada_site.database.router import read_connection
from threada_site.kernel.context import PrincipalKind, Scope
from threada_site.tenancy.controllers import UNKNOWN, Control, control_of
from threada_site.tenancy.effective_permissions import EffectivePermissions, effective_permissions


@dataclass(frozen=True, slots=True)
class Member:
    """Principal of the tenant with its permissions, not limited by the scopes of a token.

    `is_accepted` is False for a person who has not accepted the invitation. `controlled_by` are the people who control
    the account of a person, see `threada_site.tenancy.independence`; it is not read for agents and services.
    """

    id: uuid.UUID
    username: str
    display_name: str
    kind: PrincipalKind
    permissions: EffectivePermissions
    is_accepted: bool = True
    controlled_by: Control = UNKNOWN

    def scopes_on(self, workflow_id: uuid.UUID) -> frozenset[Scope]:
        """Return the scopes on one workflow, from the tenant or from grants on the workflow."""
        return self.permissions.scopes | self.permissions.grants.workflows.get(workflow_id, frozenset())

    @property
    def decides_somewhere(self) -> bool:
        """Return True if the member holds `decisions:decide` on the tenant or on a workflow."""
        held = (self.permissions.scopes, *self.permissions.grants.workflows.values())
        return any(Scope.DECISIONS_DECIDE in scopes for scopes in held)


MEMBER_COLUMNS: Final = """
           u.id, u.username, u.display_name, u.kind,
           (SELECT jsonb_agg(jsonb_build_array(g.role_slug, g.model, g.object_id, g.codename, g.visibility))
              FROM threada_grants(u.id, m.tenant_id) g),
           m.accepted_at IS NOT NULL,
           CASE WHEN u.kind <> 'human' THEN NULL
                WHEN EXISTS (SELECT 1 FROM tenancy_accountdependence d
                              WHERE d.tenant_id = $1 AND d.user_id = u.id AND d.ended_at IS NULL)
                THEN threada_controllers(u.id, $1) ELSE '{}' END"""
"""Columns of `member_of`, for a membership `m` with its user `u` in the tenant `$1`."""
_MEMBERS: Final = f"""
    SELECT {MEMBER_COLUMNS}
      FROM tenancy_membership m
      JOIN tenancy_user u ON u.id = m.user_id
     WHERE m.tenant_id = $1 AND u.is_active
       AND ($2::uuid[] IS NULL OR u.id = ANY($2::uuid[]))
       AND (NOT $3::boolean OR u.kind = 'human')
     ORDER BY u.username
"""


def members(
    tenant_id: uuid.UUID, *, among: Collection[uuid.UUID] | None = None, humans_only: bool = False
) -> list[Member]:
    """Return the active members, or those of `among`."""
    with read_connection().prepared_cursor() as cursor:
        cursor.execute(_MEMBERS, [tenant_id, list(among) if among is not None else None, humans_only])
        return [member_of(row, tenant_id=tenant_id) for row in cursor.fetchall()]


def member_of(row: Sequence[Any], *, tenant_id: uuid.UUID) -> Member:
    """Return the member of a row with `MEMBER_COLUMNS`."""
    user_id, username, display_name, kind, grants, is_accepted, controllers = row
    return Member(
        id=user_id,
        username=username,
        display_name=display_name,
        kind=PrincipalKind(kind),
        permissions=effective_permissions(
            (orjson.loads(grants) if isinstance(grants, str | bytes) else grants) or [],
            tenant_id=tenant_id,
            asked=None,
        ),
        is_accepted=is_accepted,
        controlled_by=control_of(controllers),
    )
