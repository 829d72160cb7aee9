"""Requests and runs of tests of integrations. A job leases a test, checks outside any transaction, and records it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, Final

import structlog
from django.db import connection

from integrations.attempts.failures import FailureClass
from integrations.configuration.parsed_documents import document_of, secret_access
from integrations.lifecycle import INTEGRATION_TEST, IntegrationTestStatus
from integrations.models import Integration, IntegrationTest
from integrations.probes.models import OPEN_TESTS
from integrations.probes.probe import probe_integration
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work, unit_of_work
from threada_site.jobs.enqueue import DELIVERY_QUEUE, enqueue
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import NotFound, TooManyTests
from threada_site.tenancy.models import Tenant

RUN_TEST: Final = "integrations.run_test"
"""Name of the task that runs a test. Argument: `test_id`."""
MOST_OPEN: Final = 5
"""Open tests of one tenant, so that tests of dead addresses do not occupy the workers."""
MOST_KEPT: Final = 10
"""Tests that are kept of one integration."""
LEASE_DURATION: Final = timedelta(seconds=60)
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended('integration-tests ' || %s, 0))"

log = structlog.get_logger("threada.integrations")


def request_test(integration: Integration, *, ctx: ActingContext) -> IntegrationTest:
    """Return a new test of the integration's current version, or the open one. Deletes all but the last few.

    Receipt `integration.test_requested` for a new test.

    Raises `TooManyTests` if the tenant has `MOST_OPEN` open tests of other integrations, `NotFound` for a withdrawn
    integration.
    """
    require_unit_of_work(ctx.tenant_id)
    if integration.current_version_id is None:
        raise NotFound
    with connection.cursor() as cursor:
        cursor.execute(_ONE_AT_A_TIME, [str(ctx.tenant_id)])
    of_tenant = IntegrationTest.objects.filter(tenant_id=ctx.tenant_id)
    of_integration = of_tenant.filter(integration=integration)
    found = of_integration.filter(status__in=OPEN_TESTS).first()
    if found is not None:
        return found
    if of_tenant.filter(status__in=OPEN_TESTS).count() >= MOST_OPEN:
        raise TooManyTests(headers={"Retry-After": "5"})
    kept = of_integration.order_by("-id").values_list("id", flat=True)[: MOST_KEPT - 1]
    of_integration.exclude(id__in=list(kept)).delete()
    test = IntegrationTest.objects.create(
        tenant_id=ctx.tenant_id,
        integration=integration,
        integration_version_id=integration.current_version_id,
        requested_by=ctx.principal_id,
    )
    record(
        Entry(
            kind="integration.test_requested",
            subject=Subject(integration=integration.slug),
            inputs={"integration_test_id": test.public_id},
        ),
        ctx=ctx,
    )
    enqueue(RUN_TEST, tenant_id=ctx.tenant_id, queue=DELIVERY_QUEUE, test_id=str(test.id))
    return test


def run_test(tenant: Tenant, test_id: uuid.UUID) -> None:
    """Run a queued test. End one whose worker was lost as failed. Opens its own units of work; safe to run twice."""
    with unit_of_work(tenant.id):
        test = _begin(tenant, test_id)
    if test is None:
        return
    version = test.integration_version
    if not connection.in_atomic_block:
        connection.close()  # back to the pool: the check may take seconds
    found = probe_integration(document_of(version), secret_access(version, tenant=tenant.slug))
    with unit_of_work(tenant.id):
        current = _locked(tenant, test_id)
        if current is None or current.status != IntegrationTestStatus.RUNNING:
            log.warning("late_test_ignored", test=test.public_id)
            return
        _end(current, found["checks"])


def _begin(tenant: Tenant, test_id: uuid.UUID) -> IntegrationTest | None:
    """Return the test with a new lease, or None if it is not queued."""
    now = clock.now()
    test = _locked(tenant, test_id)
    if test is None:
        return None
    if test.status == IntegrationTestStatus.RUNNING and test.lease_until is not None and test.lease_until <= now:
        detail = "The worker that ran the test was lost. Test the integration again."
        lost = {"check": "worker", "ok": False, "failure": FailureClass.WORKER_LOST.value, "detail": detail}
        _end(test, [lost])
        return None
    if test.status != IntegrationTestStatus.QUEUED:
        return None
    INTEGRATION_TEST.check_transition(IntegrationTestStatus(test.status), IntegrationTestStatus.RUNNING)
    test.status, test.started_at, test.lease_until = IntegrationTestStatus.RUNNING, now, now + LEASE_DURATION
    test.save(update_fields=["status", "started_at", "lease_until"])
    return test


def _end(test: IntegrationTest, checks: list[dict[str, Any]]) -> None:
    failed = next((check for check in checks if not check["ok"]), None)
    to = IntegrationTestStatus.PASSED if failed is None else IntegrationTestStatus.FAILED
    INTEGRATION_TEST.check_transition(IntegrationTestStatus(test.status), to)
    test.status, test.checks, test.lease_until, test.finished_at = to, checks, None, clock.now()
    if failed is not None:
        test.failure, test.failure_detail = failed["failure"], failed["detail"][:500]
    test.save(update_fields=["status", "checks", "lease_until", "finished_at", "failure", "failure_detail"])


def _locked(tenant: Tenant, test_id: uuid.UUID) -> IntegrationTest | None:
    rows = IntegrationTest.objects.select_for_update(of=("self",)).select_related("integration_version")
    return rows.filter(tenant_id=tenant.id, id=test_id).first()
