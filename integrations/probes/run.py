"""Requests and runs of tests of integrations. A job leases a test, checks outside any transaction, and records it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, Final

import structlog
from django.db import connection

from integrations.attempts.failures import FailureClass
from integrations.attempts.outcomes import Outcome
from integrations.configuration.parsed_documents import document_of, secret_access
from integrations.configuration.simulation import is_simulated
from integrations.freezes.block import freeze_on, freezes_in_force
from integrations.freezes.scope import Place
from integrations.lifecycle import INTEGRATION_TEST, IntegrationTestStatus
from integrations.models import Integration, IntegrationTest
from integrations.probes.calls import AskedCall, make_call, may_have_effects, prepared_call, why_no_effects
from integrations.probes.models import OPEN_TESTS
from integrations.probes.probe import probe_integration
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work, unit_of_work
from threada_site.jobs.enqueue import DELIVERY_QUEUE, enqueue
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import NotFound, TooManyTests
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.models import Tenant

RUN_TEST: Final = "integrations.run_test"
"""Name of the task that runs a test. Argument: `test_id`."""
MOST_OPEN: Final = 5
"""Open tests of one tenant, so that tests of dead addresses do not occupy the workers."""
MOST_KEPT: Final = 10
"""Tests that are kept of one integration."""
LEASE_DURATION: Final = timedelta(seconds=60)
_LOST_CALL: Final = (
    "The worker that made the call was lost: the receiver may have acted. Find out there before you call again."
)
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended('integration-tests ' || %s, 0))"

log = structlog.get_logger("threada.integrations")


def request_test(integration: Integration, *, ctx: ActingContext) -> IntegrationTest:
    """Return a new test of the integration's current version, or the open one. Deletes all but the last few.

    Receipt `integration.test_requested` for a new test.

    Raises `TooManyTests` if the tenant has `MOST_OPEN` open tests of other integrations, or a test call of this one is
    open; `NotFound` for a withdrawn integration.
    """
    found = _lock_and_find_open(integration, ctx=ctx)
    if found is not None and found.action:
        raise TooManyTests(headers={"Retry-After": "5"})
    if found is not None:
        return found
    test = _queued(integration, ctx=ctx)
    entry = Entry(
        kind="integration.test_requested",
        subject=Subject(integration=integration.slug),
        inputs={"integration_test_id": test.public_id},
    )
    record(entry, ctx=ctx)
    return test


def request_test_call(integration: Integration, asked: AskedCall, *, ctx: ActingContext) -> IntegrationTest:
    """Return a new test call of the integration's current version. Receipt `integration.test_call_requested`.

    Raise the refusals of `prepared_call` and of `request_test`, and `TooManyTests` while another test of the
    integration, or another test call of the tenant is open: a call may take as long as six checks.
    """
    call = prepared_call(integration, asked, ctx=ctx)
    is_busy = _lock_and_find_open(integration, ctx=ctx) is not None
    if is_busy or IntegrationTest.objects.filter(tenant_id=ctx.tenant_id, status__in=OPEN_TESTS).exclude(action=""):
        raise TooManyTests(headers={"Retry-After": "5"})
    test = _queued(integration, ctx=ctx, action=asked.action, request=call.request)
    entry = Entry(
        kind="integration.test_call_requested",
        subject=Subject(integration=integration.slug),
        inputs={
            "integration_test_id": test.public_id,
            "action": asked.action,
            "request_sha256": canonical_sha256(call.request),
            "has_effects": call.has_effects,
        },
        outcome={"simulated": True} if call.is_simulated else {},
    )
    record(entry, ctx=ctx)
    return test


def _lock_and_find_open(integration: Integration, *, ctx: ActingContext) -> IntegrationTest | None:
    """Lock the tests of the tenant. Return the open one of the integration, or None if it may have a new one."""
    require_unit_of_work(ctx.tenant_id)
    _current(integration)
    with connection.cursor() as cursor:
        cursor.execute(_ONE_AT_A_TIME, [str(ctx.tenant_id)])
    open_ones = IntegrationTest.objects.filter(tenant_id=ctx.tenant_id, status__in=OPEN_TESTS)
    found = open_ones.filter(integration=integration).first()
    if found is None and open_ones.count() >= MOST_OPEN:
        raise TooManyTests(headers={"Retry-After": "5"})
    return found


def _queued(integration: Integration, *, ctx: ActingContext, **call: Any) -> IntegrationTest:
    """Return a new test with its job. Delete all but the last few of the integration."""
    of_integration = IntegrationTest.objects.filter(tenant_id=ctx.tenant_id, integration=integration)
    kept = of_integration.order_by("-id").values_list("id", flat=True)[: MOST_KEPT - 1]
    of_integration.exclude(id__in=list(kept)).delete()
    ahead = IntegrationTest.objects.filter(tenant_id=ctx.tenant_id, status__in=OPEN_TESTS).count()
    test = IntegrationTest.objects.create(
        tenant_id=ctx.tenant_id,
        integration=integration,
        integration_version_id=_current(integration),
        requested_by=ctx.principal_id,
        **call,
    )
    # The first test of every tenant comes before the second of any.
    enqueue(RUN_TEST, tenant_id=ctx.tenant_id, queue=DELIVERY_QUEUE, priority=-ahead, test_id=str(test.id))
    return test


def _current(integration: Integration) -> uuid.UUID:
    if integration.current_version_id is None:
        raise NotFound
    return integration.current_version_id


def run_test(tenant: Tenant, test_id: uuid.UUID, *, ctx: ActingContext) -> None:
    """Run a queued test. End one whose worker was lost as failed. Opens its own units of work; safe to run twice.

    A test call is made at most once. Receipt `integration.test_call_ended`.
    """
    with unit_of_work(tenant.id):
        test = _begin(tenant, test_id, ctx=ctx)
    if test is None:
        return
    version = test.integration_version
    if not connection.in_atomic_block:
        connection.close()  # back to the pool: the check may take seconds
    response = None
    if test.action:
        outcome = make_call(test, tenant)
        checks, response = [_check_of_call(test, outcome)], outcome.response
    else:
        checks = probe_integration(document_of(version), secret_access(version, tenant=tenant.slug))["checks"]
    with unit_of_work(tenant.id):
        current = _locked(tenant, test_id)
        if current is None or current.status != IntegrationTestStatus.RUNNING:
            log.warning("late_test_ignored", test=test.public_id)
            return
        _end(current, checks, response=response, ctx=ctx)


def _check_of_call(test: IntegrationTest, outcome: Outcome) -> dict[str, Any]:
    failure = outcome.failure.value if outcome.failure else None
    detail = outcome.detail or "The call succeeded."
    return {"check": f"call of {test.action}", "ok": outcome.succeeded, "failure": failure, "detail": detail}


def _begin(tenant: Tenant, test_id: uuid.UUID, *, ctx: ActingContext) -> IntegrationTest | None:
    """Return the test with a new lease, or None if it is not queued."""
    now = clock.now()
    test = _locked(tenant, test_id)
    if test is None:
        return None
    if test.status == IntegrationTestStatus.RUNNING and test.lease_until is not None and test.lease_until <= now:
        detail = _LOST_CALL if test.action else "The worker that ran the test was lost. Test the integration again."
        lost = {"check": "worker", "ok": False, "failure": FailureClass.WORKER_LOST.value, "detail": detail}
        _end(test, [lost], ctx=ctx)
        return None
    if test.status != IntegrationTestStatus.QUEUED:
        return None
    INTEGRATION_TEST.check_transition(IntegrationTestStatus(test.status), IntegrationTestStatus.RUNNING)
    test.status, test.started_at, test.lease_until = IntegrationTestStatus.RUNNING, now, now + LEASE_DURATION
    test.save(update_fields=["status", "started_at", "lease_until"])
    detail = _no_longer_callable(test)
    if detail:
        failure = FailureClass.ENVELOPE_MISMATCH.value
        _end(test, [{"check": f"call of {test.action}", "ok": False, "failure": failure, "detail": detail}], ctx=ctx)
        return None
    return test


def _no_longer_callable(test: IntegrationTest) -> str:
    """Return why a requested call is not made any more; empty if it is made."""
    if not test.action:
        return ""
    if test.integration.current_version_id != test.integration_version_id:
        return "The integration has a newer version. Nothing was sent."
    place = Place("", test.integration.slug, test.action, test.requested_by)
    if freeze_on(freezes_in_force(test.tenant_id), place):
        return "The integration is frozen. Nothing was sent."
    if may_have_effects(test.request or {}, document_of(test.integration_version).connector):
        return why_no_effects(test.tenant_id, test.action)
    return ""


def _end(
    test: IntegrationTest,
    checks: list[dict[str, Any]],
    *,
    ctx: ActingContext,
    response: dict[str, Any] | None = None,
) -> None:
    failed = next((check for check in checks if not check["ok"]), None)
    to = IntegrationTestStatus.PASSED if failed is None else IntegrationTestStatus.FAILED
    INTEGRATION_TEST.check_transition(IntegrationTestStatus(test.status), to)
    test.status, test.checks, test.lease_until, test.finished_at = to, checks, None, clock.now()
    if failed is not None:
        test.failure, test.failure_detail = failed["failure"], failed["detail"][:500]
    test.response = response
    changed = ["status", "checks", "lease_until", "finished_at", "failure", "failure_detail", "response"]
    test.save(update_fields=changed)
    if test.action:
        entry = Entry(
            kind="integration.test_call_ended",
            subject=Subject(integration=test.integration.slug),
            inputs={"integration_test_id": test.public_id, "action": test.action},
            outcome={
                "status": to.value,
                "failure": test.failure or None,
                "receiver_status": (response or {}).get("status"),
                **({"simulated": True} if is_simulated(test.integration.connector) else {}),
            },
        )
        record(entry, ctx=ctx)


def _locked(tenant: Tenant, test_id: uuid.UUID) -> IntegrationTest | None:
    rows = IntegrationTest.objects.select_for_update(of=("self",)).select_related("integration_version", "integration")
    return rows.filter(tenant_id=tenant.id, id=test_id).first()
