"""Part of policy authors: drafts, replays, and rules that decided none of the newest decisions."""

from __future__ import annotations

from typing import Final

from django.utils.html import format_html
from django.utils.translation import gettext as _

from policies import selectors
from policies.models import PolicyReplay, PolicyVersion
from policies.replay.idle_rules import IdleRule, idle_rules
from threada_site.admin import html
from threada_site.console.dashboards.parts import CAP, LISTED, Line, Part, metric
from threada_site.kernel.context import ActingContext, Scope

_WRITES: Final = (Scope.POLICIES_WRITE, Scope.POLICIES_PUBLISH)
_DRAFTS: Final = 4
_REPLAYS: Final = 4
_RULES: Final = LISTED


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
