"""Four-eyes rules: actions that need two people in a tenant."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.db import connection

from threada_site.kernel.context import Scope, with_implied
from threada_site.tenancy.models import FourEyesRule

POLICY_FOUR_EYES: Final = "policy_four_eyes"
"""Every change of the rules in force must be published by an independent person."""
FREEZE_FOUR_EYES: Final = "freeze_four_eyes"
"""A freeze must be lifted by a person who is independent of the one who set it."""
IDENTITY_FOUR_EYES: Final = "identity_four_eyes"
"""Changes to people, roles, groups and credentials of others must be confirmed by an independent steward."""
LEGAL_HOLD_FOUR_EYES: Final = "legal_hold_four_eyes"
"""Lifting a legal hold must be confirmed by an independent steward. On unless it was turned off."""
FOUR_EYES: Final = (POLICY_FOUR_EYES, FREEZE_FOUR_EYES, IDENTITY_FOUR_EYES, LEGAL_HOLD_FOUR_EYES)
ON_BY_DEFAULT: Final = frozenset({LEGAL_HOLD_FOUR_EYES})
"""Rules that are on without a row."""


def four_eyes_rule(tenant_id: uuid.UUID, slug: str) -> FourEyesRule | None:
    """Return the rule, or None if it was never set."""
    return FourEyesRule.objects.filter(tenant_id=tenant_id, slug=slug).first()


def is_four_eyes_required(tenant_id: uuid.UUID, slug: str) -> bool:
    """Return True if such actions need two people in the tenant. Runs one statement.

    Without a row, `identity_four_eyes` is on from two stewards on who accepted their invitations, and the rules of
    `ON_BY_DEFAULT` are on; others are off.
    """
    if slug != IDENTITY_FOUR_EYES:
        rule = four_eyes_rule(tenant_id, slug)
        return slug in ON_BY_DEFAULT if rule is None else rule.is_required
    with connection.cursor() as cursor:
        cursor.execute(_IS_REQUIRED, {**_SCOPES, "tenant": tenant_id, "slug": slug})
        (is_required,) = cursor.fetchone()
    return bool(is_required)


def stewards(tenant_id: uuid.UUID) -> list[uuid.UUID]:
    """Return the ids of the active people who accepted their invitation and hold every scope in the tenant."""
    with connection.cursor() as cursor:
        cursor.execute(_STEWARDS, {**_SCOPES, "tenant": tenant_id})
        return [person for (person,) in cursor.fetchall()]


_SCOPES: Final[dict[str, Any]] = {
    "scopes": [scope.codename for scope in Scope],
    "manage": Scope.WORKFLOW_MANAGE.codename,
    "implied": [scope.codename for scope in with_implied(frozenset({Scope.WORKFLOW_MANAGE}))],
}
_STEWARDS: Final = """
    SELECT m.user_id
      FROM tenancy_membership m
      JOIN tenancy_user u ON u.id = m.user_id AND u.is_active AND u.kind = 'human'
      JOIN tenancy_user_groups ug ON ug.user_id = u.id
      JOIN tenancy_role r ON r.tenant_id = m.tenant_id AND r.group_id = ug.group_id
      JOIN guardian_groupobjectpermission g ON g.group_id = r.group_id AND g.object_pk = m.tenant_id::text
      JOIN auth_permission p ON p.id = g.permission_id
      JOIN django_content_type c ON c.id = g.content_type_id AND c.app_label = 'tenancy' AND c.model = 'tenant'
     CROSS JOIN LATERAL unnest(
           CASE WHEN p.codename = %(manage)s THEN %(implied)s::text[] ELSE ARRAY[p.codename::text] END) AS held
     WHERE m.tenant_id = %(tenant)s AND m.accepted_at IS NOT NULL AND held = ANY(%(scopes)s::text[])
     GROUP BY m.user_id
    HAVING count(DISTINCT held) = cardinality(%(scopes)s::text[])
"""
_IS_REQUIRED: Final = f"""
    SELECT CASE WHEN rule.is_required IS NOT NULL THEN rule.is_required
                ELSE (SELECT count(*) FROM (SELECT 1 FROM ({_STEWARDS}) steward LIMIT 2) two) = 2 END
      FROM (SELECT (SELECT is_required FROM tenancy_foureyesrule
                     WHERE tenant_id = %(tenant)s AND slug = %(slug)s) AS is_required) rule
"""
