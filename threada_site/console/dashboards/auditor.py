"""Part of auditors: state of the receipt log, and exports."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.translation import gettext as _

from telemetry import selectors
from telemetry.models import TelemetryExport
from threada_site.admin import html
from threada_site.console.dashboards.parts import DashboardMetric, Line, Part
from threada_site.kernel.context import ActingContext, Scope

_EXPORTS = 5


def auditor_part(ctx: ActingContext, alarms: list[str]) -> Part | None:
    """Return the part, or None for those who read no telemetry. `alarms` are those of the log. Runs two statements."""
    if not ctx.has_scope_anywhere(Scope.TELEMETRY_READ):
        return None
    checkpoint = selectors.newest_checkpoint(ctx.tenant_id)
    checkpoints = html.list_url("telemetry.checkpoint")
    exports = list(selectors.exports(ctx).order_by("-id")[:_EXPORTS])
    return Part(
        key="auditor",
        title=_("Evidence"),
        metrics=(
            DashboardMetric(_("receipts in the log"), f"{checkpoint.size:,}" if checkpoint else "0", checkpoints),
            DashboardMetric(
                _("last checkpoint"),
                html.left(checkpoint.signed_at) if checkpoint else _("none"),
                checkpoints,
            ),
            DashboardMetric(_("alarms"), str(len(alarms)), checkpoints, "bad" if alarms else "plain"),
        ),
        lines=tuple(map(_line, exports)),
        nothing=_("There are no exports."),
        more=_("Exports"),
        more_url=html.list_url("telemetry.telemetryexport"),
    )


def _line(export: TelemetryExport) -> Line:
    text = _("Export of %(rows)s receipts") % {"rows": f"{export.rows:,}"}
    remark = format_html("{} · {}", export.format, html.when(export.created_at))
    return Line(text, html.page_url("telemetry.telemetryexport", export.public_id), html.badge(export.status), remark)
