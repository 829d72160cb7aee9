"""Writing of an export by a job: lease it, write its file outside any transaction, record the result.

One statement reads the rows and the file is written once, so that later commits do not appear in any download. A
separate thread renews the lease and stores the progress; it notices a lost lease or a cancellation, and the job stops.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import structlog
from django.db import DatabaseError, connection

from telemetry.exports.bodies import bodies_of, expected, selected_receipts
from telemetry.exports.files import ExportFile, Written
from telemetry.exports.formats import FORMATS
from telemetry.exports.request import become_ready, outcome_of, path_of
from telemetry.lifecycle import EXPORT, ExportStatus
from telemetry.models import TelemetryExport
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.replica_reads import position_now, read
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext

LEASE: Final = timedelta(seconds=30)
BEAT_S: Final = 1.0
MAX_ATTEMPTS: Final = 5
REPLICA_PATIENCE_S: Final = 10.0

log = structlog.get_logger("threada.exports")


class StoppedError(Exception):
    """The export was cancelled, another worker took over, or this worker is asked to stop."""


def make_export(
    export_id: uuid.UUID, *, ctx: ActingContext, is_asked_to_stop: Callable[[], bool] = lambda: False
) -> None:
    """Write the export if it is due. Opens its own units of work. May run twice, and concurrently."""
    export = _acquire_lease(export_id, ctx=ctx)
    if export is None:
        return
    beat = _Beat(export)
    try:
        beat.start()
        made = _written(export, beat, is_asked_to_stop)
    except StoppedError:
        beat.stop()
        _hand_back(export, ctx=ctx)
    except OSError as failure:
        beat.stop()
        log.warning("export_target_unavailable", export=export.public_id, path=str(path_of(export)), error=str(failure))
        _fail(export, "export_target_unavailable", failure.strerror or type(failure).__name__, ctx=ctx)
    except errors.OptionalPackageMissing as missing:
        beat.stop()
        _fail(export, missing.reason_code, missing.detail, ctx=ctx)
    except DatabaseError:
        beat.stop()  # nothing can be recorded now; after the lease expires, the sweep enqueues the export again
        raise
    except Exception:
        beat.stop()
        _fail(export, "internal_error", "See the worker's log.", ctx=ctx)
        raise
    else:
        beat.stop()
        _settle(export, made, ctx=ctx)


def _acquire_lease(export_id: uuid.UUID, *, ctx: ActingContext) -> TelemetryExport | None:
    now = clock.now()
    with unit_of_work(ctx.tenant_id):
        export = TelemetryExport.objects.select_for_update().filter(tenant_id=ctx.tenant_id, id=export_id).first()
        if export is None:
            return None
        lost = export.status == ExportStatus.RUNNING and export.lease_until is not None and export.lease_until <= now
        if export.status != ExportStatus.REQUESTED and not lost:
            return None
        if lost and export.attempt >= MAX_ATTEMPTS:
            _become_failed(export, "worker_lost", f"{export.attempt} workers died while making it.", ctx=ctx)
            return None
        EXPORT.check_transition(ExportStatus(export.status), ExportStatus.RUNNING)
        export.status = ExportStatus.RUNNING
        export.attempt += 1
        export.lease_until = now + LEASE
        export.started_at = now
        export.rows = export.size = 0
        export.rows_expected, _ = expected(selected_receipts(export))
        export.save(update_fields=["status", "attempt", "lease_until", "started_at", "rows", "size", "rows_expected"])
    return export


def _written(export: TelemetryExport, beat: _Beat, is_asked_to_stop: Callable[[], bool]) -> Written:
    """Write the file, reading from a replica if there is one.

    Nobody waits, so the replica may take a while to catch up.
    """

    def write() -> Written:
        return _file(export, beat, is_asked_to_stop)

    return read(export.tenant_id, write, since=position_now(), patience_s=REPLICA_PATIENCE_S)


def _file(export: TelemetryExport, beat: _Beat, is_asked_to_stop: Callable[[], bool]) -> Written:
    export.rows = export.size = 0
    form = FORMATS[export.format]
    encoder = form.new_encoder(export.compression)
    compression = "none" if form.is_compressed_inside else export.compression
    with ExportFile(path_of(export), compression=compression) as file:
        file.write(encoder.header())
        for batch in bodies_of(selected_receipts(export)):
            file.write(encoder.encode(batch))
            export.rows += len(batch)
            export.size = file.size
            if beat.is_lost or is_asked_to_stop():
                raise StoppedError
        file.write(encoder.footer())
        return file.finish()


def _settle(export: TelemetryExport, made: Written, *, ctx: ActingContext) -> None:
    with unit_of_work(ctx.tenant_id):
        if not _is_still_ours(export):
            path_of(export).unlink(missing_ok=True)
            return
        become_ready(export, made)
        export.save(update_fields=["status", "rows", "size", "sha256", "ready_at", "expires_at", "lease_until"])
        record(
            Entry(kind="telemetry.export_made", inputs={"export_id": export.public_id}, outcome=outcome_of(export)),
            ctx=ctx,
        )


def _hand_back(export: TelemetryExport, *, ctx: ActingContext) -> None:
    """Return the export to the queue, so that the next worker starts immediately. Does nothing without the lease."""
    with unit_of_work(ctx.tenant_id):
        if _is_still_ours(export):
            export.status, export.lease_until, export.rows, export.size = ExportStatus.REQUESTED, None, 0, 0
            export.save(update_fields=["status", "lease_until", "rows", "size"])


def _fail(export: TelemetryExport, reason_code: str, detail: str, *, ctx: ActingContext) -> None:
    with unit_of_work(ctx.tenant_id):
        if _is_still_ours(export):
            _become_failed(export, reason_code, detail, ctx=ctx)


def _become_failed(export: TelemetryExport, reason_code: str, detail: str, *, ctx: ActingContext) -> None:
    EXPORT.check_transition(ExportStatus(export.status), ExportStatus.FAILED)
    export.status, export.lease_until = ExportStatus.FAILED, None
    export.failure, export.failure_detail = reason_code, detail[:300]
    export.save(update_fields=["status", "lease_until", "failure", "failure_detail"])
    record(
        Entry(
            kind="telemetry.export_failed",
            inputs={"export_id": export.public_id},
            outcome={"failure": reason_code},
            reason_codes=(reason_code,),
        ),
        ctx=ctx,
    )


def _is_still_ours(export: TelemetryExport) -> bool:
    """Return True if this worker still holds the lease. Locks the row until the end of the transaction."""
    return bool(
        TelemetryExport.objects.select_for_update()
        .filter(tenant_id=export.tenant_id, id=export.id, status=ExportStatus.RUNNING, attempt=export.attempt)
        .values_list("id")
    )


class _Beat(threading.Thread):
    """Thread that stores the progress and renews the lease once a second, on its own connection."""

    def __init__(self, export: TelemetryExport) -> None:
        super().__init__(name="export-beat", daemon=True)
        self._export = export
        self._stopped = threading.Event()
        self.is_lost = False

    def run(self) -> None:
        try:
            while not self._stopped.wait(BEAT_S):
                self._beat()
        finally:
            connection.close()

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _beat(self) -> None:
        export = self._export
        try:
            with unit_of_work(export.tenant_id):
                renewed = TelemetryExport.objects.filter(
                    tenant_id=export.tenant_id, id=export.id, status=ExportStatus.RUNNING, attempt=export.attempt
                ).update(rows=export.rows, size=export.size, lease_until=clock.now() + LEASE)
        except Exception:  # the next beat tries again; if all fail, the lease expires
            log.warning("export_beat_failed", export=export.public_id, exc_info=True)
        else:
            self.is_lost = not renewed
