"""Jobs of continuous deliveries. Each calls one service and may run twice, also concurrently."""

from __future__ import annotations

import random
import uuid

from integrations import sweeps
from integrations.deliveries.deliver import run_delivery
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.context import job_context, tenant_of_job
from threada_site.jobs.enqueue import DELIVERY_QUEUE, MAINTENANCE_QUEUE, enqueue
from threada_site.jobs.registry import periodic, task
from threada_site.kernel import clock


@task(sweeps.DELIVER, queue=DELIVERY_QUEUE)
def deliver(tenant_id: str, delivery_id: str) -> None:
    """Send due batches of a continuous delivery."""
    tenant = tenant_of_job(tenant_id)
    if run_delivery(uuid.UUID(delivery_id), ctx=job_context(tenant), rng=random.SystemRandom()):
        with unit_of_work(tenant.id):
            enqueue(sweeps.DELIVER, tenant_id=tenant.id, queue=DELIVERY_QUEUE, delivery_id=delivery_id)


@periodic("integrations.sweep", queue=MAINTENANCE_QUEUE, cron="* * * * * */3")
def sweep() -> None:
    """Enqueue deliveries with undelivered receipts. Runs every three seconds."""
    sweeps.enqueue_due_deliveries(now=clock.now())
