"""Exports: a bounded selection of receipts, streamed byte for byte as they were hashed, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet
from psycopg import sql

from telemetry.filters import ReceiptFilters
from telemetry.models import Receipt, TelemetryExport
from telemetry.receipts import Entry
from telemetry.services.record import record
from telemetry.windows import Window, window
from threada_site.kernel import clock
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError, InvalidRequest
from threada_site.tenancy.unit_of_work import unit_of_work

BATCH_BYTES: Final = 65_536


def create_export(filters: Mapping[str, str], *, ctx: ActingContext) -> TelemetryExport:
    """Fix a selection for download: the filters and the window, whose end lies in the past of this request.

    Raises `InvalidRequest`, `WindowTooLarge`.
    """
    checked = _checked(filters)
    now = clock.now()
    # Ids say the millisecond: one that has not ended yet would leave open what belongs to it.
    past = now.replace(microsecond=now.microsecond // 1000 * 1000)
    asked = bounded_window(checked.get("created_after"), checked.get("created_before"), now=past)
    chosen = Window(asked.after, max(asked.after, min(asked.before, past)))
    export = TelemetryExport.objects.create(
        tenant_id=ctx.tenant_id,
        requested_by=ctx.principal_id,
        filters={name: value for name, value in filters.items() if not name.startswith("created_")},
        from_id=chosen.first_id,
        before_id=chosen.end_id,
    )
    record(
        Entry(
            kind="telemetry.exported",
            inputs={
                "export_id": export.public_id,
                "filters": export.filters,
                "created_after": rfc3339(chosen.after),
                "created_before": rfc3339(chosen.before),
            },
        ),
        ctx=ctx,
    )
    return export


def bounded_window(after: datetime | None, before: datetime | None, *, now: datetime) -> Window:
    """The window asked for, within what the instance allows."""
    return window(after, before, now=now, longest=timedelta(days=settings.THREADA_TELEMETRY_WINDOW_DAYS))


def selected_receipts(export: TelemetryExport) -> QuerySet[Receipt]:
    """The receipts of an export."""
    rows = Receipt.objects.filter(tenant_id=export.tenant_id, id__gte=export.from_id, id__lt=export.before_id)
    return ReceiptFilters(data=export.filters, queryset=rows).qs


def stream_ndjson(export: TelemetryExport) -> Iterator[bytes]:
    """One receipt body a line, oldest first, in batches of 64 KB.

    `COPY … (FORMAT BINARY)` hands the stored bytes over as they are; its text format would corrupt JSON that holds
    backslashes. The unit of work is opened here, since the response is iterated after the view has returned.
    """
    with unit_of_work(export.tenant_id):
        query, parameters = selected_receipts(export).order_by("id").values_list("body").query.sql_with_params()
        batch: list[bytes] = []
        size = 0
        with connection.cursor() as cursor:
            raw = cursor.connection.cursor()
            composed = sql.SQL("COPY ({}) TO STDOUT (FORMAT BINARY)").format(
                sql.SQL(query.replace("%s", "{}")).format(*map(sql.Literal, parameters))  # type: ignore[arg-type]
            )
            with raw.copy(composed) as copy:
                copy.set_types(["bytea"])
                for (body,) in copy.rows():
                    batch.append(bytes(body))
                    size += len(body)
                    if size >= BATCH_BYTES:
                        yield b"\n".join(batch) + b"\n"
                        batch, size = [], 0
        if batch:
            yield b"\n".join(batch) + b"\n"


def _checked(filters: Mapping[str, str]) -> dict[str, Any]:
    bound = ReceiptFilters(data=dict(filters), queryset=Receipt.objects.none())
    if not bound.is_valid():
        raise InvalidRequest(
            "The filters cannot be understood.",
            errors=[FieldError(f"/filters/{name}", " ".join(map(str, text))) for name, text in bound.errors.items()],
        )
    return bound.form.cleaned_data
