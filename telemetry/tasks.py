"""Jobs of telemetry. Each opens its own unit of work and calls one service; each may run twice."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import structlog

from telemetry import sweeps
from telemetry.exports import job as export_job
from telemetry.exports import request as exports
from telemetry.models import TelemetryExport
from telemetry.receipts.refusals import record_counted_refusals, tenants_with_counts
from telemetry.summary.counts import BATCH, COUNTED_AT_ONCE, count_sealed, tenants_to_count
from threada_site.database.partitioning import drop_months, make_months
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.context import job_context, tenant_of_job
from threada_site.jobs.enqueue import EXPORT_QUEUE, MAINTENANCE_QUEUE
from threada_site.jobs.registry import periodic, task
from threada_site.kernel import clock
from threada_site.tenancy.metrics import store_metrics
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.quotas.counting import count_usage

log = structlog.get_logger("threada.jobs")


@task(exports.MAKE, queue=EXPORT_QUEUE, can_stop=True)
def make_export(*, tenant_id: str, export_id: str, is_asked_to_stop: Callable[[], bool] = lambda: False) -> None:
    """Write the file of an export. A worker that is stopping leaves the export to the next one."""
    export_job.make_export(
        uuid.UUID(export_id),
        ctx=job_context(tenant_of_job(tenant_id)),
        is_asked_to_stop=is_asked_to_stop,
    )


@task(sweeps.EXPIRE, queue=MAINTENANCE_QUEUE)
def expire_export(tenant_id: str, export_id: str) -> None:
    """Delete the file of an export that has expired."""
    ctx = job_context(tenant_of_job(tenant_id))
    with unit_of_work(ctx.tenant_id):
        found = TelemetryExport.objects.select_for_update().filter(tenant_id=ctx.tenant_id, id=export_id).first()
        if found is not None:
            exports.expire_export(found, now=clock.now(), ctx=ctx)


@periodic("telemetry.sweep", queue=MAINTENANCE_QUEUE, cron="* * * * * */10")
def sweep() -> None:
    """Enqueue exports without a job, and expired exports. Runs every ten seconds."""
    now = clock.now()
    sweeps.enqueue_due_exports(now=now)
    sweeps.enqueue_due_expiry(now=now)


@periodic("telemetry.refusals", queue=MAINTENANCE_QUEUE, cron="* * * * * */15")
def refusals() -> None:
    """Record the counted refusals of finished intervals. Runs every fifteen seconds."""
    now = clock.now()
    for tenant_id in tenants_with_counts(now=now):
        ctx = job_context(tenant_of_job(str(tenant_id)))
        with unit_of_work(ctx.tenant_id):
            record_counted_refusals(now=now, ctx=ctx)


@periodic("telemetry.count", queue=MAINTENANCE_QUEUE, cron="* * * * * */5")
def count() -> None:
    """Count sealed receipts into the summary, a few batches per tenant and run. Runs every five seconds."""
    for tenant_id in tenants_to_count():
        for _ in range(COUNTED_AT_ONCE):
            with unit_of_work(tenant_id):
                counted = count_sealed(tenant_id)
            if counted < BATCH:
                break


@periodic("telemetry.measure", queue=MAINTENANCE_QUEUE, cron="* * * * * */10")
def measure() -> None:
    """Store the metrics for `/metrics` that the web process may not compute. Runs every ten seconds."""
    store_metrics()


@periodic("telemetry.usage", queue=MAINTENANCE_QUEUE, cron="* * * * *")
def usage() -> None:
    """Count what tenants use of their quotas. Runs every minute."""
    now = clock.now()
    for tenant_id in Tenant.objects.order_by("id").values_list("id", flat=True):
        with unit_of_work(tenant_id):
            count_usage(tenant_id, now=now)


@periodic("telemetry.tidy", queue=MAINTENANCE_QUEUE, cron="17 * * * *")
def tidy() -> None:
    """Delete orphaned export files. Runs every hour."""
    sweeps.delete_orphans()


@periodic("telemetry.months", queue=MAINTENANCE_QUEUE, cron="41 * * * *")
def months() -> None:
    """Create future months of partitioned tables and drop months that retention has emptied. Runs every hour."""
    with platform_role():
        make_months()
        for step in drop_months():
            log.info("month_dropped", step=step)
