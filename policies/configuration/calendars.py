"""The calendar of the tenant. Changes affect the deadlines of new steps only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.documents.calendar import CalendarDocument, parse_calendar
from policies.models import Calendar
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.change_sets import operation, require_policy_confirmation
from threada_site.tenancy.upsert import Change, UpsertResult


def upsert_calendar(slug: str, document: CalendarDocument, *, ctx: ActingContext) -> UpsertResult[Calendar]:
    """Create or replace the calendar of the tenant under the name `slug`. Open steps keep their deadlines.

    Receipt: `calendar.changed`, with the digest of its spec.
    """
    require_unit_of_work(ctx.tenant_id)
    spec = dict(document.spec)
    zone = document.calendar.zone.key
    current = Calendar.objects.select_for_update().filter(tenant_id=ctx.tenant_id).first()
    if current is not None and (current.slug, current.document) == (slug, spec):
        return UpsertResult(current, Change.UNCHANGED)
    require_policy_confirmation(
        "calendar.put",
        f"Change the calendar {slug}",
        arguments={"calendar": slug, "spec": spec},
        before=calendar_state(current) if current else None,
        after={"calendar": slug, "spec": spec},
        ctx=ctx,
    )
    calendar, is_new = Calendar.objects.select_for_update().get_or_create(
        tenant_id=ctx.tenant_id, defaults={"slug": slug, "document": spec, "time_zone": zone}
    )
    if not is_new:
        calendar.slug, calendar.document, calendar.time_zone = slug, spec, zone
        calendar.updated_at = clock.now()
        calendar.save(update_fields=["slug", "document", "time_zone", "updated_at"])
    inputs = {"calendar": slug, "spec_sha256": canonical_sha256(spec)}
    record(Entry(kind="calendar.changed", inputs=inputs, outcome={"time_zone": zone}), ctx=ctx)
    return UpsertResult(calendar, Change.CREATED if is_new else Change.CHANGED)


def calendar_state(calendar: Calendar) -> dict[str, Any]:
    """Return a calendar as the state in a change set."""
    return {"calendar": calendar.slug, "spec": calendar.document}


@operation("calendar.put", scope=Scope.WORKFLOW_MANAGE)
def _put(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    upsert_calendar(arguments["calendar"], parse_calendar(arguments["spec"]), ctx=ctx)
