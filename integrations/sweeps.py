"""Sweeps over all tenants. They enqueue jobs, which check again under their own locks, and delete old tests."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from django.db import connection
from django.db.models import Q

from integrations.configuration.secrets import LONGEST_WAIT
from integrations.lifecycle import IntegrationTestStatus
from integrations.models import AccessToken, IntegrationTest, ProposedSecret
from integrations.probes.models import OPEN_TESTS
from integrations.probes.run import RUN_TEST
from telemetry.deliveries.attempt_list import RUN_ATTEMPT, enqueue_attempt
from telemetry.models import DeliveryAttempt
from threada_site.database.roles import platform_role
from threada_site.jobs.enqueue import DELIVERY_QUEUE, enqueue, live_jobs

BATCH: Final = 500
DELIVER: Final = "integrations.deliver"
"""Name of the task that sends due batches of a delivery. Argument: `delivery_id`."""
TESTS_KEPT: Final = timedelta(days=7)
TOKENS_KEPT: Final = timedelta(days=1)


def enqueue_due_deliveries(*, now: datetime) -> int:
    """Enqueue active deliveries that have undelivered receipts and no live job. Return the number of jobs."""
    with platform_role():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT d.tenant_id, d.id FROM telemetry_delivery d WHERE d.status = 'active' "
                "AND (d.next_try_at IS NULL OR d.next_try_at <= %s) AND (d.lease_until IS NULL OR d.lease_until <= %s) "
                "AND EXISTS (SELECT FROM telemetry_logleaf l WHERE l.tenant_id = d.tenant_id "
                "AND l.index >= d.next_index) ORDER BY d.next_try_at NULLS FIRST LIMIT %s",
                [now, now, BATCH],
            )
            due = cursor.fetchall()
        live = live_jobs(DELIVER, "delivery_id", [str(delivery_id) for _, delivery_id in due])
        turns, count = Counter[uuid.UUID](), 0
        for tenant_id, delivery_id in due:
            if str(delivery_id) not in live:
                enqueue_delivery(tenant_id, str(delivery_id), ahead=turns[tenant_id])
                count += 1
            turns[tenant_id] += 1
    return count


def enqueue_delivery(tenant_id: uuid.UUID, delivery_id: str, *, ahead: int) -> None:
    """Enqueue a delivery. `ahead`: deliveries of the tenant before it.

    The first of every tenant comes before the second of any.
    """
    enqueue(DELIVER, tenant_id=tenant_id, queue=DELIVERY_QUEUE, priority=-ahead, delivery_id=delivery_id)


def enqueue_due_attempts(*, now: datetime) -> int:
    """Enqueue requested attempts of deliveries without a live job, and those whose worker was lost. Return their
    number."""
    due = Q(status="queued") | Q(status="running", lease_until__lte=now)
    with platform_role():
        found = list(DeliveryAttempt.objects.filter(due).order_by("id").values_list("tenant_id", "id")[:BATCH])
        live = live_jobs(RUN_ATTEMPT, "attempt_id", [str(attempt_id) for _, attempt_id in found])
        missing = [(tenant_id, attempt_id) for tenant_id, attempt_id in found if str(attempt_id) not in live]
        for tenant_id, attempt_id in missing:
            enqueue_attempt(tenant_id, attempt_id)
    return len(missing)


def enqueue_due_tests(*, now: datetime) -> int:
    """Enqueue queued tests without a live job, and tests whose worker was lost. Return the number of jobs."""
    due = Q(status=IntegrationTestStatus.QUEUED) | Q(status=IntegrationTestStatus.RUNNING, lease_until__lte=now)
    with platform_role():
        found = list(IntegrationTest.objects.filter(due).order_by("id").values_list("tenant_id", "id")[:BATCH])
        live = live_jobs(RUN_TEST, "test_id", [str(test_id) for _, test_id in found])
        missing = [(tenant_id, test_id) for tenant_id, test_id in found if str(test_id) not in live]
        for tenant_id, test_id in missing:
            enqueue(RUN_TEST, tenant_id=tenant_id, queue=DELIVERY_QUEUE, test_id=str(test_id))
    return len(missing)


def delete_old_values(*, now: datetime) -> int:
    """Delete values of secrets that were proposed more than seven days ago. Return their number.

    Their change sets stay open and become stale when somebody publishes them.
    """
    with platform_role():
        return ProposedSecret.objects.filter(created_at__lte=now - LONGEST_WAIT).delete()[0]


def delete_old_tokens(*, now: datetime) -> int:
    """Delete access tokens that ended more than a day ago. Return their number."""
    with platform_role():
        return AccessToken.objects.filter(expires_at__lt=now - TOKENS_KEPT).delete()[0]


def delete_old_tests(*, now: datetime) -> int:
    """Delete tests that ended more than seven days ago. Return their number."""
    with platform_role():
        old = IntegrationTest.objects.filter(created_at__lt=now - TESTS_KEPT).exclude(status__in=OPEN_TESTS)
        return old.delete()[0]
