"""Hiding of the checklist in a tenant."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.admin.actions import OWN_UNIT_OF_WORK, ActionSpec, Call, Done, press
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Tenant


def hide_first_steps(*, ctx: ActingContext) -> None:
    """Hide the checklist from all stewards of the tenant. Receipt `tenant.first_steps_hidden`, unless it is hidden.

    Raise `PermissionDenied` for everybody but stewards.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    shown = Tenant.objects.filter(id=ctx.tenant_id, first_steps_hidden_at__isnull=True)
    if shown.update(first_steps_hidden_at=clock.now()):
        record(Entry(kind="tenant.first_steps_hidden"), ctx=ctx)


@require_POST
def hide_view(request: HttpRequest) -> HttpResponse:
    """Hide the checklist and return to the dashboard."""

    def hide(call: Call) -> Done:
        hide_first_steps(ctx=call.ctx)
        return Done(_("The checklist is hidden for all stewards of this tenant."))

    call = Call(request, request.acting_context, "")  # type: ignore[attr-defined]
    return press(call, ActionSpec("hide-first-steps", None), hide, back=reverse("admin:index"))


hide_view.__dict__[OWN_UNIT_OF_WORK] = True
