"""Operations page: the queue, the integrations, freezes, and executions that need an operator."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from integrations import selectors as integration_selectors
from integrations.configuration.health import MOST, health_of
from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution, Freeze
from threada_site.admin.html import list_url
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from workitems import selectors
from workitems.executions.dead_letters import only_dead_letters
from workitems.executions.queue_age import oldest_due

_SHOWN = 10


def operations_page(ctx: ActingContext) -> dict[str, Any]:
    """Return the template context. No count exceeds 1,000."""
    now = clock.now()
    runs = selectors.executions(ctx)
    started = runs.filter(status=ExecutionStatus.STARTED)
    due = started.filter(blocked_by_freeze__isnull=True, ready_at__lte=now)
    age = f"{(now - ready_at).total_seconds():.0f}" if (ready_at := oldest_due(ctx, now=now)) else "0"
    unknown = runs.filter(status=ExecutionStatus.OUTCOME_UNKNOWN)
    dead = only_dead_letters(runs)
    freezes = Freeze.objects.filter(tenant_id=ctx.tenant_id, lifted_at__isnull=True).order_by("id")
    executions, of_freezes = list_url("integrations.execution"), list_url("integrations.freeze")
    return {
        "now": now,
        "metrics": [
            _dashboard_metric(_("queued"), due, f"{executions}?status=started"),
            (_("seconds the oldest has been queued"), age, executions, "plain"),
            _dashboard_metric(
                _("running"), runs.filter(status=ExecutionStatus.RUNNING), f"{executions}?status=running"
            ),
            _dashboard_metric(_("waiting to retry"), started.filter(ready_at__gt=now), f"{executions}?status=started"),
            _dashboard_metric(
                _("blocked by a freeze"),
                started.filter(blocked_by_freeze__isnull=False),
                f"{executions}?status=started",
            ),
            _dashboard_metric(_("outcome unknown"), unknown, f"{executions}?status=outcome_unknown", is_bad=True),
            _dashboard_metric(_("dead letters"), dead, f"{executions}?dead_letter=true", is_bad=True),
            _dashboard_metric(_("freezes in force"), freezes, f"{of_freezes}?in_force=true", is_bad=True),
        ],
        "freezes": freezes[:_SHOWN],
        "health": health_of(
            integration_selectors.configured_integrations(ctx).filter(~Q(connector="workflow")).order_by("slug")[:200],
            now=now,
            ctx=ctx,
        ),
        "unknown": unknown.order_by("id")[:_SHOWN],
        "dead": dead.order_by("-id")[:_SHOWN],
        "dead_url": f"{executions}?dead_letter=true",
        "unknown_url": f"{executions}?status=outcome_unknown",
    }


def _dashboard_metric(
    label: str, rows: QuerySet[Execution] | QuerySet[Freeze], url: str, *, is_bad: bool = False
) -> Any:
    count = rows.order_by()[: MOST + 1].count()
    return label, f"{MOST}+" if count > MOST else str(count), url, "bad" if is_bad and count else "plain"
