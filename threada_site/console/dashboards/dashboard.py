"""Dashboard: one part for each role of the reader, open work by status, and charts. Every count is bounded."""

from __future__ import annotations

from typing import Any, Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from integrations.freezes.block import freezes_in_force
from telemetry.selectors import sealing_alarms
from threada_site.admin.html import list_url, row_link
from threada_site.admin.notices import policy_notices, second_factor_notices, visibility_notices
from threada_site.console.dashboards.approver import approver_part
from threada_site.console.dashboards.auditor import auditor_part
from threada_site.console.dashboards.author import author_part
from threada_site.console.dashboards.cases import ages_of, case_charts, case_counts, case_metrics
from threada_site.console.dashboards.operator import operator_counts, operator_part
from threada_site.console.dashboards.parts import capped_counts
from threada_site.console.dashboards.steward import steward_counts, steward_part
from threada_site.identity.change_sets.permissions import waiting_for
from threada_site.identity.owners import without_known_owner
from threada_site.identity.stewardship import is_steward
from threada_site.kernel.context import ActingContext, Scope
from workitems.executions.freeze_states import freeze_notices
from workitems.lifecycle import WORK_ITEM, WorkItemStatus

_MOST_NAMED: Final = 10
"""Agents and services that the notice about owners names."""


def dashboard(ctx: ActingContext) -> dict[str, Any]:
    """Return the context of the dashboard: parts in the order in which people act on them."""
    alarms = sealing_alarms(ctx)
    if not ctx.has_scope_anywhere(Scope.WORKITEMS_READ):
        return {"alarms": alarms, "metrics": [], "parts": [], "charts": []}
    freezes = freezes_in_force(ctx.tenant_id)
    counted = capped_counts(case_counts(ctx) | operator_counts(ctx) | steward_counts(ctx))
    parts = [
        approver_part(ctx),
        operator_part(ctx, counted, freezes),
        author_part(ctx),
        auditor_part(ctx, alarms),
        steward_part(ctx, counted),
    ]
    return {
        "alarms": alarms,
        "freezes": freeze_notices(freezes),
        "notices": [
            *_change_set_notices(ctx),
            *_owner_notices(ctx),
            *second_factor_notices(ctx),
            *policy_notices(ctx),
            *visibility_notices(ctx),
        ],
        "metrics": case_metrics(counted),
        "ages": ages_of(counted),
        "is_empty": not any(counted[status.value] for status in WorkItemStatus if WORK_ITEM.is_open(status)),
        "parts": [part for part in parts if part is not None],
        **case_charts(ctx),
    }


def _owner_notices(ctx: ActingContext) -> list[SafeString]:
    """Return a warning for stewards that names the agents and services without a known owner, at most ten."""
    if not is_steward(ctx):
        return []
    found = list(without_known_owner(ctx.tenant_id)[: _MOST_NAMED + 1])
    if not found:
        return []
    links = [row_link("tenancy.membership", one.user.public_id, one.user.username) for one in found[:_MOST_NAMED]]
    names = format_html_join(", ", "{}", ((link,) for link in links))
    said = _(
        "Nobody is known to control {names}. They ask, read and execute, and change nothing until an owner is named."
    )
    return [format_html(said, names=format_html("{}{}", names, " …" if len(found) > _MOST_NAMED else ""))]


def _change_set_notices(ctx: ActingContext) -> list[SafeString]:
    """Return a line with the change sets that `ctx` may publish."""
    waiting = waiting_for(ctx)
    if not waiting:
        return []
    said = ngettext(
        "%(count)d change set waits for a second person.",
        "%(count)d change sets wait for a second person.",
        len(waiting),
    )
    address = f"{list_url('tenancy.changeset')}?status=proposed"
    return [format_html('<a class="t-link" href="{}">{}</a>', address, said % {"count": len(waiting)})]
