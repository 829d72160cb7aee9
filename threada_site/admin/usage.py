"""Console page of the tenant's quotas: used and allowed amount of each."""

from __future__ import annotations

from typing import Any, Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from threada_site.admin.words import word
from threada_site.kernel.context import Scope
from threada_site.tenancy.quotas.kinds import ADVICE, NAMES, Quota
from threada_site.tenancy.quotas.usage import Usage, usage_of

_NEAR_PERCENT: Final = 80


def usage_page(request: HttpRequest, frame: dict[str, Any]) -> TemplateResponse:
    """Show used and allowed amounts to readers of telemetry and to those who configure the tenant."""
    ctx = request.acting_context  # type: ignore[attr-defined]
    if not (ctx.has_scope_anywhere(Scope.TELEMETRY_READ) or ctx.has_scope_anywhere(Scope.WORKFLOW_MANAGE)):
        raise PermissionDenied
    rows = [_row(usage) for usage in usage_of(ctx.tenant_id)]
    return TemplateResponse(request, "console/usage.html", {**frame, "title": _("Usage"), "rows": rows})


def _row(usage: Usage) -> dict[str, Any]:
    is_full = usage.used >= usage.most
    return {
        "name": capfirst(_(NAMES[usage.kind])),
        "used": _amount(usage, usage.used),
        "most": _amount(usage, usage.most),
        "percent": usage.percent,
        "tone": "bad" if is_full else "waiting" if usage.percent >= _NEAR_PERCENT else "",
        "state": _("At the quota") if is_full else _("Near the quota") if usage.percent >= _NEAR_PERCENT else "",
        "advice": _(ADVICE[usage.kind]) if is_full else "",
        "set_by": word("operator") if usage.is_own else _("default"),
        "counted_at": usage.counted_at,
        "is_counted_by_job": usage.kind is Quota.STORED_BYTES,
    }


def _amount(usage: Usage, number: int) -> str:
    return filesizeformat(number) if usage.kind is Quota.STORED_BYTES else f"{number:,}"
