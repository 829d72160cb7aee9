"""Rules in force that decided none of the newest decisions."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from django.db.models import F

from policies.models import PolicyVersion
from threada_site.database.router import read_connection
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Visibility

SAMPLE: Final = 1000
"""Number of the tenant's newest decisions in which rules are looked for."""
FEWEST: Final = 20
"""A rule is named only if its version was in force for at least so many of them."""
_POLICIES: Final = 50
_SAMPLE: Final = """
    WITH sample AS (
        SELECT versions, matched FROM policies_policydecision
         WHERE tenant_id = %(tenant)s ORDER BY id DESC LIMIT %(most)s)
    SELECT asked.version, asked.decisions, coalesce(hit.rules, '{}')
      FROM (SELECT v ->> 'version_id' AS version, count(*) AS decisions
              FROM sample, jsonb_array_elements(versions) v GROUP BY 1) asked
      LEFT JOIN (SELECT m ->> 'version_id' AS version, array_agg(DISTINCT m ->> 'rule') AS rules
                   FROM sample, jsonb_array_elements(matched) m GROUP BY 1) hit USING (version)
     WHERE asked.version IS NOT NULL AND asked.decisions >= %(fewest)s
"""


@dataclass(frozen=True)
class IdleRule:
    """Rule in force that decided none of the newest decisions for which its version was asked."""

    version: PolicyVersion
    rule: str
    decisions: int


def matched_rules(ctx: ActingContext) -> dict[uuid.UUID, tuple[int, set[str]]]:
    """Return the policy versions that the tenant's newest `SAMPLE` decisions asked: how many did, which rules matched.

    A version that fewer than `FEWEST` of them asked is left out. Runs one statement.
    """
    with read_connection().cursor() as cursor:
        cursor.execute(_SAMPLE, {"tenant": ctx.tenant_id, "most": SAMPLE, "fewest": FEWEST})
        return {
            parsed: (decisions, set(rules))
            for version, decisions, rules in cursor.fetchall()
            if (parsed := ids.parse_public_id(ids.POLICY_VERSION, version)) is not None
        }


def idle_rules(ctx: ActingContext) -> list[IdleRule]:
    """Return the rules in force that decided none of the tenant's newest decisions. Runs two statements.

    None for those who see only their own cases.
    """
    if ctx.visibility is Visibility.OWN:
        return []
    asked = matched_rules(ctx)
    in_force = PolicyVersion.objects.filter(
        tenant_id=ctx.tenant_id, id__in=list(asked), policy__in_force_id=F("id")
    ).select_related("policy")
    found = []
    for version in in_force.order_by("policy__slug")[:_POLICIES]:
        decisions, hit = asked[version.id]
        found += [IdleRule(version, rule, decisions) for rule in rules_of(version) if rule not in hit]
    return found


def rules_of(version: PolicyVersion) -> list[str]:
    """Return the ids of the rules of a version."""
    return [str(rule.get("id", "")) for rule in version.document.get("rules", ()) if isinstance(rule, dict)]
