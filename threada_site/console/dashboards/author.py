"""Part of policy authors: drafts, replays, and rules that decided none of the newest decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db.models import F
from django.utils.html import format_html
from django.utils.translation import gettext as _

from policies import selectors
from policies.models import PolicyReplay, PolicyVersion
from threada_site.admin import html
from threada_site.console.dashboards.parts import CAP, LISTED, Line, Part, metric
from threada_site.database.router import read_connection
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope, Visibility

_WRITES: Final = (Scope.POLICIES_WRITE, Scope.POLICIES_PUBLISH)
SAMPLE: Final = 1000
"""Number of the tenant's newest decisions in which rules are looked for."""
FEWEST: Final = 20
"""A rule is named only if its version was in force for at least so many of them."""
_POLICIES: Final = 50
_DRAFTS: Final = 4
_REPLAYS: Final = 4
_RULES: Final = LISTED
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


def author_part(ctx: ActingContext) -> Part | None:
    """Return the part, or None for those who write no policies. Runs four statements."""
    if not any(ctx.has_scope_anywhere(scope) for scope in _WRITES):
        return None
    drafts = _drafts(ctx)
    replays = list(selectors.replays(ctx).defer("document", "summary").order_by("-id")[:_REPLAYS])
    idle = idle_rules(ctx)
    return Part(
        key="author",
        title=_("Policies"),
        metrics=(
            metric(_("drafts"), len(drafts), html.list_url("policies.policy")),
            metric(_("rules that decide nothing"), len(idle), html.list_url("policies.policy")),
        ),
        lines=(
            *map(_draft_line, drafts[:_DRAFTS]),
            *map(_replay_line, replays),
            *map(_idle_line, idle[:_RULES]),
        ),
        nothing=_("There are no drafts and no replays."),
        more=_("Policies"),
        more_url=html.list_url("policies.policy"),
    )


def idle_rules(ctx: ActingContext) -> list[IdleRule]:
    """Return the rules in force that decided none of the tenant's newest `SAMPLE` decisions. Runs two statements.

    A version that fewer than `FEWEST` of them asked is left out. None for those who see only their own cases.
    """
    if ctx.visibility is Visibility.OWN:
        return []
    with read_connection().cursor() as cursor:
        cursor.execute(_SAMPLE, {"tenant": ctx.tenant_id, "most": SAMPLE, "fewest": FEWEST})
        asked = {
            parsed: (decisions, set(rules))
            for version, decisions, rules in cursor.fetchall()
            if (parsed := ids.parse_public_id(ids.POLICY_VERSION, version)) is not None
        }
    in_force = PolicyVersion.objects.filter(
        tenant_id=ctx.tenant_id, id__in=list(asked), policy__in_force_id=F("id")
    ).select_related("policy")
    found = []
    for version in in_force.order_by("policy__slug")[:_POLICIES]:
        decisions, hit = asked[version.id]
        named = (str(rule.get("id", "")) for rule in version.document.get("rules", ()) if isinstance(rule, dict))
        found += [IdleRule(version, rule, decisions) for rule in named if rule not in hit]
    return found


def _drafts(ctx: ActingContext) -> list[PolicyVersion]:
    rows = selectors.drafts(ctx.tenant_id).select_related("policy").defer("document", "policy__in_force")
    return list(rows.order_by("-id")[: CAP + 1])


def _draft_line(draft: PolicyVersion) -> Line:
    text = _("%(policy)s, version %(number)d") % {"policy": draft.policy.slug, "number": draft.number}
    return Line(text, html.page_url("policies.policyversion", draft.public_id), html.badge("draft"))


def _replay_line(replay: PolicyReplay) -> Line:
    text = _("Replay of %(policy)s") % {"policy": replay.policy.slug}
    said = _("%(flipped)d of %(count)d decisions differ") % {"flipped": replay.flipped, "count": replay.replayed}
    url = html.page_url("policies.policyreplay", replay.public_id)
    return Line(text, url, html.badge(replay.status), format_html("{} · {}", said, html.when(replay.created_at)))


def _idle_line(idle: IdleRule) -> Line:
    said = _("decided none of the newest %(count)d decisions of its policy") % {"count": idle.decisions}
    url = html.page_url("policies.policyversion", idle.version.public_id)
    return Line(f"{idle.version.policy.slug} / {idle.rule}", url, remark=said)
