"""Scopes that roles and principals hold according to the permission tables, compared with the receipts about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from django.db import connection

from threada_site.identity.default_roles import DEFAULT_ROLES
from threada_site.kernel import ids
from threada_site.kernel.context import Scope
from threada_site.tenancy.models import Tenant

KINDS: Final = ("role.defined", "scope.granted")
# The tables have no tenant. Whoever inserts a row names the object that the scope is on.
_ON_OBJECTS: Final = """
SELECT g.user_id, p.codename, o.kind, o.slug
  FROM guardian_userobjectpermission g
  JOIN auth_permission p ON p.id = g.permission_id
  JOIN (SELECT 'tenant' AS kind, slug, id::text FROM tenancy_tenant WHERE id = %(tenant)s
         UNION ALL SELECT 'workflow', slug, id::text FROM policies_workflow WHERE tenant_id = %(tenant)s
         UNION ALL SELECT 'integration', slug, id::text FROM integrations_integration WHERE tenant_id = %(tenant)s
       ) o ON o.id = g.object_pk
 ORDER BY g.id
"""
_OF_ROLES: Final = """
SELECT r.slug, p.codename
  FROM tenancy_role r
  JOIN guardian_groupobjectpermission g ON g.group_id = r.group_id
  JOIN auth_permission p ON p.id = g.permission_id
 WHERE r.tenant_id = %(tenant)s
 ORDER BY g.id
"""


def scopes_without_receipt(tenant: Tenant, receipts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each scope of a role, and for each scope on a single object, that no receipt gave.

    `receipts`: contents of the receipts of `KINDS` that count, oldest first. A role has the scopes of its last receipt;
    without one, a role that every tenant has from its beginning has those of `DEFAULT_ROLES`.
    """
    roles = {slug: {scope.value for scope in scopes} for slug, scopes in DEFAULT_ROLES.items()}
    granted = set()
    for receipt in receipts:
        said = receipt["inputs"]
        if receipt["kind"] == "role.defined":
            roles[said["role"]] = set(said["scopes"])
        else:
            granted.add((said["principal"], said["scope"], said["on"]["kind"], said["on"]["id"]))
    names = {scope.codename: scope.value for scope in Scope}
    with connection.cursor() as cursor:
        cursor.execute(_OF_ROLES, {"tenant": tenant.id})
        for role, codename in cursor.fetchall():
            if names.get(codename, codename) not in roles.get(role, ()):
                yield f"role {role} {names.get(codename, codename)}: there is no receipt role.defined"
        cursor.execute(_ON_OBJECTS, {"tenant": tenant.id})
        for user, codename, kind, slug in cursor.fetchall():
            principal, scope = ids.public_id(ids.PRINCIPAL, user), names.get(codename, codename)
            if (principal, scope, kind, slug) not in granted:
                yield f"{principal} {scope} on {kind} {slug}: there is no receipt scope.granted"
