"""Effective permissions: scopes of the credential, limited to what roles and object grants give. Pure."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from threada_site.kernel.context import ALL_SCOPES, ObjectGrants, Scope, Visibility, with_implied

GROUP_ROW: Final = "people_group"
_BY_CODENAME = {scope.codename: scope for scope in Scope}


@dataclass(frozen=True, slots=True)
class EffectivePermissions:
    """Roles, groups, and scopes of a principal: on the tenant, and on single workflows and integrations."""

    roles: frozenset[str]
    scopes: frozenset[Scope]
    grants: ObjectGrants
    groups: frozenset[str] = frozenset()
    visibility: Visibility = Visibility.TENANT


def effective_permissions(
    rows: Iterable[Any], *, tenant_id: uuid.UUID, asked: Iterable[str] | None, role: str | None = None
) -> EffectivePermissions:
    """Return the permissions that rows of `threada_grants` give.

    Rows are (role or None, model, object id, codename, visibility). `asked` are the credential's scopes; None means all
    (console sessions). `role` keeps one role and drops direct grants; a role that the principal lacks leaves no
    permission. Groups are never narrowed by credential or role, because they give no permissions. The visibility is
    `own` if only roles marked `own` give `workitems:read` on the tenant.
    """
    allowed = ALL_SCOPES if asked is None else with_implied(frozenset(Scope(scope) for scope in asked))
    roles: set[str] = set()
    groups: set[str] = set()
    on_tenant: set[Scope] = set()
    on_objects: dict[str, dict[uuid.UUID, set[Scope]]] = {
        "workflow": defaultdict(set),
        "integration": defaultdict(set),
    }
    reading: set[str] = set()
    for role_slug, model, object_id, codename, visibility in rows:
        if model == GROUP_ROW:
            groups.add(object_id)
            continue
        if role_slug is not None:
            roles.add(role_slug)
        if (role is not None and role_slug != role) or codename not in _BY_CODENAME:
            continue
        scope = _BY_CODENAME[codename]
        if model == "tenant" and object_id == str(tenant_id):
            on_tenant.add(scope)
            if scope is Scope.WORKITEMS_READ:
                reading.add(visibility)
        elif model in on_objects:
            on_objects[model][uuid.UUID(object_id)].add(scope)
    if role is not None:
        roles &= {role}
    return EffectivePermissions(
        roles=frozenset(roles),
        scopes=with_implied(frozenset(on_tenant)) & allowed,
        grants=ObjectGrants(
            workflows=_cut(on_objects["workflow"], allowed), integrations=_cut(on_objects["integration"], allowed)
        ),
        groups=frozenset(groups),
        visibility=Visibility.OWN if reading == {Visibility.OWN} else Visibility.TENANT,
    )


def _cut(granted: dict[uuid.UUID, set[Scope]], allowed: frozenset[Scope]) -> dict[uuid.UUID, frozenset[Scope]]:
    return {object_id: frozenset(scopes) & allowed for object_id, scopes in granted.items() if scopes & allowed}
