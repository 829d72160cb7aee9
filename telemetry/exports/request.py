"""Exports: a bounded selection of receipts, written to a file once and deleted after a fixed time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import transaction

from telemetry.exports.bodies import bodies_of, expected, selected_receipts
from telemetry.exports.files import ExportFile, Written, delete_files
from telemetry.exports.formats import FORMATS, file_extension
from telemetry.lifecycle import EXPORT, ExportStatus
from telemetry.models import Receipt, TelemetryExport
from telemetry.receipts.filters import ReceiptFilters
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from telemetry.receipts.time_windows import Window, window
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.jobs.enqueue import EXPORT_QUEUE, enqueue
from threada_site.kernel import clock, errors
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError, InvalidRequest
from threada_site.kernel.extras import require_extra
from threada_site.tenancy.quotas.kinds import Quota
from threada_site.tenancy.quotas.require import require_quota

MAKE: Final = "telemetry.make_export"
"""Name of the task that writes an export. Argument: `export_id`."""
AT_ONCE_ROWS: Final = 1000
AT_ONCE_COST: Final = 20_000.0
"""Highest planner cost of an export that the request writes itself (a million rows cost more than 100,000)."""

log = structlog.get_logger("threada.exports")


def new_export(
    filters: Mapping[str, str], *, ctx: ActingContext, file_format: str = "ndjson", compression: str = "none"
) -> TelemetryExport:
    """Return the requested export, validated but not saved. The end of its window is before the current request.

    Raises `InvalidRequest`, `WindowTooLarge`, `OptionalPackageMissing`.
    """
    if file_format == "parquet":
        require_extra("parquet", use="The format parquet")
    checked = _checked(filters)
    now = clock.now()
    # Ids contain the millisecond. A current millisecond could still get new receipts, so it is excluded.
    past = now.replace(microsecond=now.microsecond // 1000 * 1000)
    asked = bounded_window(checked.get("created_after"), checked.get("created_before"), now=past)
    chosen = Window(asked.after, max(asked.after, min(asked.before, past)))
    return TelemetryExport(
        tenant_id=ctx.tenant_id,
        requested_by=ctx.principal_id,
        filters={name: value for name, value in filters.items() if not name.startswith("created_")},
        from_id=chosen.first_id,
        before_id=chosen.end_id,
        format=file_format,
        compression=compression,
    )


def record_export(export: TelemetryExport, *, ctx: ActingContext, **outcome: Any) -> None:
    """Record the receipt `telemetry.exported`: the caller and the selection."""
    record(
        Entry(
            kind="telemetry.exported",
            inputs={
                "export_id": export.public_id,
                "format": export.format,
                "compression": export.compression,
                "filters": export.filters,
                "created_after": rfc3339(export.created_after),
                "created_before": rfc3339(export.created_before),
            },
            outcome=outcome,
        ),
        ctx=ctx,
    )


def create_export(
    filters: Mapping[str, str], *, ctx: ActingContext, file_format: str = "ndjson", compression: str = "none"
) -> TelemetryExport:
    """Create an export. Small exports are written immediately, others by a job.

    Raises `QuotaExceeded` and the errors of `new_export`.
    """
    require_unit_of_work(ctx.tenant_id)
    export = new_export(filters, ctx=ctx, file_format=file_format, compression=compression)
    require_quota(Quota.EXPORTS, ctx=ctx)
    made = _make_at_once(export)
    if made is None:
        export.save(force_insert=True)
        record_export(export, ctx=ctx, status=ExportStatus.REQUESTED)
        enqueue(MAKE, tenant_id=ctx.tenant_id, queue=EXPORT_QUEUE, export_id=str(export.id))
    else:
        become_ready(export, made)
        export.save(force_insert=True)
        record_export(export, ctx=ctx, status=ExportStatus.READY, **outcome_of(export))
    return export


def become_ready(export: TelemetryExport, made: Written) -> None:
    """Set the fields of a finished export. The caller saves it."""
    EXPORT.check_transition(ExportStatus(export.status), ExportStatus.READY)
    export.status = ExportStatus.READY
    export.size, export.sha256 = made.size, made.sha256
    export.ready_at = clock.now()
    export.expires_at = export.ready_at + timedelta(hours=settings.THREADA_EXPORT_HOURS)
    export.lease_until = None


def outcome_of(export: TelemetryExport) -> dict[str, Any]:
    return {"rows": export.rows, "size": export.size, "sha256": export.sha256}


def cancel_export(export: TelemetryExport, *, ctx: ActingContext) -> None:
    """Stop writing the export, or delete its file. The caller has locked `export`. Raises `TransitionNotAllowed`."""
    _end(export, ExportStatus.CANCELLED, kind="telemetry.export_cancelled", ctx=ctx)


def expire_export(export: TelemetryExport, *, now: datetime, ctx: ActingContext) -> None:
    """Delete the file of an expired export. The caller has locked `export`. Does nothing in any other state."""
    if export.status == ExportStatus.READY and export.expires_at is not None and export.expires_at <= now:
        _end(export, ExportStatus.EXPIRED, kind="telemetry.export_expired", ctx=ctx)


def retry_export(export: TelemetryExport, *, ctx: ActingContext) -> None:
    """Write a failed export again with the same selection. The caller has locked `export`.

    Raises `TransitionNotAllowed`, `QuotaExceeded`.
    """
    require_unit_of_work(ctx.tenant_id)
    if export.status == ExportStatus.RUNNING:
        raise errors.TransitionNotAllowed("The export is being made. Cancel it, and make another.")
    EXPORT.check_transition(ExportStatus(export.status), ExportStatus.REQUESTED)
    require_quota(Quota.EXPORTS, ctx=ctx)
    export.status, export.failure, export.failure_detail = ExportStatus.REQUESTED, "", ""
    export.rows = export.size = 0
    export.save(update_fields=["status", "failure", "failure_detail", "rows", "size"])
    record(Entry(kind="telemetry.export_retried", inputs={"export_id": export.public_id}), ctx=ctx)
    enqueue(MAKE, tenant_id=ctx.tenant_id, queue=EXPORT_QUEUE, export_id=str(export.id))


def bounded_window(after: datetime | None, before: datetime | None, *, now: datetime) -> Window:
    """Return the requested window within the limit of the instance."""
    return window(after, before, now=now, longest=timedelta(days=settings.THREADA_TELEMETRY_WINDOW_DAYS))


def folder_of(export: TelemetryExport) -> Path:
    folder: Path = settings.THREADA_EXPORT_DIR
    return folder / str(export.tenant_id)


def path_of(export: TelemetryExport) -> Path:
    """Return the path of the file of the current attempt."""
    extension = file_extension(export.format, export.compression)
    return folder_of(export) / f"{export.public_id}.{export.attempt}.{extension}"


def _make_at_once(export: TelemetryExport) -> Written | None:
    """Write the file if the export is small. Return None to leave it to a job, also if the folder cannot be used."""
    form = FORMATS[export.format]
    if form.is_compressed_inside:
        return None  # web processes do not load pyarrow
    rows = selected_receipts(export)
    export.rows_expected, cost = expected(rows)
    if export.rows_expected > AT_ONCE_ROWS or cost > AT_ONCE_COST:
        return None
    export.attempt, export.started_at = 1, clock.now()
    encoder = form.new_encoder(export.compression)
    try:
        with ExportFile(path_of(export), compression=export.compression) as file:
            file.write(encoder.header())
            for batch in bodies_of(rows[: AT_ONCE_ROWS + 1]):
                file.write(encoder.encode(batch))
                export.rows += len(batch)
            if export.rows <= AT_ONCE_ROWS:
                file.write(encoder.footer())
                return file.finish()
    except OSError as failure:
        log.warning("export_target_unavailable", export=export.public_id, error=str(failure))
    export.attempt, export.started_at, export.rows = 0, None, 0
    return None


def _end(export: TelemetryExport, to: ExportStatus, *, kind: str, ctx: ActingContext) -> None:
    require_unit_of_work(ctx.tenant_id)
    EXPORT.check_transition(ExportStatus(export.status), to)
    export.status, export.lease_until = to, None
    export.save(update_fields=["status", "lease_until"])
    record(Entry(kind=kind, inputs={"export_id": export.public_id}), ctx=ctx)
    transaction.on_commit(partial(_delete_files, folder_of(export), export.public_id))


def _delete_files(folder: Path, name: str) -> None:
    try:
        delete_files(folder, name)
    except OSError as failure:  # the file is no longer needed; an hourly job tries again
        log.warning("export_file_not_deleted", export=name, error=str(failure))


def _checked(filters: Mapping[str, str]) -> dict[str, Any]:
    bound = ReceiptFilters(data=dict(filters), queryset=Receipt.objects.none())
    if not bound.is_valid():
        raise InvalidRequest(
            "The filters cannot be understood.",
            errors=[FieldError(f"/filters/{name}", " ".join(map(str, text))) for name, text in bound.errors.items()],
        )
    return bound.form.cleaned_data
