"""Reading the ledger, always inside one tenant."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet

from telemetry.models import Receipt, TelemetryExport
from threada_site.kernel.context import ActingContext


def receipts(ctx: ActingContext) -> QuerySet[Receipt]:
    """All receipts of the tenant."""
    return Receipt.objects.filter(tenant_id=ctx.tenant_id)


def receipts_of(work_item_id: uuid.UUID, *, ctx: ActingContext) -> QuerySet[Receipt]:
    """The receipts of one work item: its timeline."""
    return receipts(ctx).filter(work_item_id=work_item_id)


def exports(ctx: ActingContext) -> QuerySet[TelemetryExport]:
    return TelemetryExport.objects.filter(tenant_id=ctx.tenant_id)
