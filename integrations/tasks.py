"""Jobs of continuous deliveries and of tests of integrations. Each calls one service and may run twice, also
concurrently."""

from __future__ import annotations

import random
import uuid

from integrations import sweeps
from integrations.deliveries.deliver import run_delivery
from integrations.deliveries.requested import run_attempt
from integrations.issuer_keys.fetch import enqueue_due_fetches, fetch_issuer_keys
from integrations.probes.run import RUN_TEST, run_test
from integrations.tools.reading import READ_TOOLS, enqueue_due_readings, read_tools
from telemetry.deliveries.attempt_list import RUN_ATTEMPT
from telemetry.lifecycle import DeliveryStatus
from telemetry.models import Delivery
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.context import job_context, tenant_of_job
from threada_site.jobs.enqueue import DELIVERY_QUEUE, ISSUER_QUEUE, MAINTENANCE_QUEUE, TOOLS_QUEUE
from threada_site.jobs.registry import periodic, task
from threada_site.kernel import clock
from threada_site.tenancy.trusted_issuer_models import FETCH_KEYS


@task(sweeps.DELIVER, queue=DELIVERY_QUEUE)
def deliver(tenant_id: str, delivery_id: str) -> None:
    """Send due batches of a continuous delivery."""
    tenant = tenant_of_job(tenant_id)
    if run_delivery(uuid.UUID(delivery_id), ctx=job_context(tenant), rng=random.SystemRandom()):
        with unit_of_work(tenant.id):
            others = Delivery.objects.filter(tenant_id=tenant.id, status=DeliveryStatus.ACTIVE).exclude(id=delivery_id)
            sweeps.enqueue_delivery(tenant.id, delivery_id, ahead=others.count())


@task(RUN_ATTEMPT, queue=DELIVERY_QUEUE)
def run_delivery_attempt(tenant_id: str, attempt_id: str) -> None:
    """Send a test event, or receipts again."""
    tenant = tenant_of_job(tenant_id)
    run_attempt(uuid.UUID(attempt_id), ctx=job_context(tenant))


@task(RUN_TEST, queue=DELIVERY_QUEUE)
def run_integration_test(tenant_id: str, test_id: str) -> None:
    """Check the configuration of an integration, or make a test call."""
    tenant = tenant_of_job(tenant_id)
    run_test(tenant, uuid.UUID(test_id), ctx=job_context(tenant))


@task(FETCH_KEYS, queue=ISSUER_QUEUE)
def fetch_keys(tenant_id: str, issuer_id: str) -> None:
    """Fetch the keys of a trusted issuer."""
    tenant = tenant_of_job(tenant_id)
    fetch_issuer_keys(tenant, uuid.UUID(issuer_id), ctx=job_context(tenant))


@task(READ_TOOLS, queue=TOOLS_QUEUE)
def read_tools_of_integration(tenant_id: str, integration_id: str) -> None:
    """Read the tools of an MCP server."""
    tenant = tenant_of_job(tenant_id)
    read_tools(tenant, uuid.UUID(integration_id), ctx=job_context(tenant))


@periodic("integrations.sweep_issuer_keys", queue=MAINTENANCE_QUEUE, cron="* * * * *")
def sweep_issuer_keys() -> None:
    """Enqueue due fetches of keys of trusted issuers, and due readings of tools. Runs every minute."""
    enqueue_due_fetches(now=clock.now())
    enqueue_due_readings(now=clock.now())


@periodic("integrations.sweep", queue=MAINTENANCE_QUEUE, cron="* * * * * */3")
def sweep() -> None:
    """Enqueue deliveries with undelivered receipts, and open tests without a job. Runs every three seconds."""
    sweeps.enqueue_due_deliveries(now=clock.now())
    sweeps.enqueue_due_attempts(now=clock.now())
    sweeps.enqueue_due_tests(now=clock.now())


@periodic("integrations.tidy", queue=MAINTENANCE_QUEUE, cron="23 * * * *")
def tidy() -> None:
    """Delete old tests of integrations, and values of secrets that nobody published. Runs every hour."""
    sweeps.delete_old_tests(now=clock.now())
    sweeps.delete_old_values(now=clock.now())
    sweeps.delete_old_tokens(now=clock.now())
