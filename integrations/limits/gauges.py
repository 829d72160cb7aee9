"""Limits and circuit breaker of an integration, stored in rows that all workers share."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from integrations.attempts.failures import FailureClass
from integrations.configuration.parsed_documents import document_of
from integrations.documents.model import Limits
from integrations.executions.lease import LEASE_DURATION, Lease
from integrations.lifecycle import ExecutionStatus
from integrations.limits.rules import WaitReason, calls_within, rate_opens_at, receiver_is_healthy
from integrations.models import Execution, Integration, IntegrationGauge
from integrations.selectors import gauge_of, integration_of
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError

LOOK_AGAIN: Final = timedelta(seconds=5)
"""Delay until a full integration is checked again, since a lost worker does not report its free slot."""


@dataclass(frozen=True, slots=True)
class Wait:
    """The execution must wait. Nothing is dispatched before `until`, unless another execution ends earlier."""

    until: datetime
    because: WaitReason


def admit(execution: Execution, *, now: datetime) -> Wait | None:
    """Return None if a locked execution may be leased now, which is then counted, else the wait. A wait is not an
    attempt.

    With limits or an open breaker, leases on one integration are acquired one after the other.
    """
    found = _current(execution)
    if found is None:
        return None
    integration, limits = found
    gauge = getattr(integration, "gauge", None)
    if limits.are_unbounded and (gauge is None or _says_nothing(gauge)):
        return None
    gauge = _locked(integration)
    gauge.concurrency, gauge.rate_calls = limits.concurrency, limits.calls
    wait = _breaker(gauge, now=now) or _concurrency(execution, limits, now=now) or _rate(gauge, limits, now=now)
    if wait is not None:
        gauge.waits_until, gauge.waits_for = wait.until, wait.because
    else:
        gauge.waits_until, gauge.waits_for = None, ""
        gauge.recent_calls = [] if limits.calls is None else [*calls_within(gauge.recent_calls, limits, now=now), now]
        if gauge.opened_at is not None:
            gauge.probe_id, gauge.probe_token = execution.id, execution.fencing_token + 1
            gauge.waits_until, gauge.waits_for = now + LEASE_DURATION, WaitReason.BREAKER
    gauge.save()
    return wait


def is_unlimited(execution: Execution) -> bool:
    """Return True if no limit and no breaker can keep an execution waiting, so that `admit` need not lock.

    False after a failure, until the next success: then calls are made one by one, so that the breaker opens in time.
    """
    found = _current(execution)
    if found is None:
        return True
    integration, limits = found
    gauge = getattr(integration, "gauge", None)
    return limits.are_unbounded and (gauge is None or (_says_nothing(gauge) and not gauge.failures))


def note_outcome(
    execution: Execution, failure: FailureClass | None, *, lease: Lease, now: datetime, ctx: ActingContext
) -> None:
    """Record the effect of an attempt on its receiver's health.

    Opening and closing the breaker is recorded in a receipt.
    """
    gauge = gauge_of(execution)
    well = receiver_is_healthy(failure)
    if gauge is None and well is not False:
        return
    if gauge is not None and well is not False and _has_nothing_to_learn(gauge):
        return
    found = _current(execution)
    if found is None:
        return
    integration, limits = found
    gauge = _locked(integration)
    if gauge.waits_for == WaitReason.CONCURRENCY:
        gauge.waits_until, gauge.waits_for = None, ""
    was_probe = gauge.probe_id == execution.id and gauge.probe_token == lease.fencing_token
    if well:
        _close(gauge, ctx=ctx)
    elif well is False:
        gauge.failures += 1
        if was_probe or (gauge.opened_at is None and gauge.failures >= limits.failures):
            _open(gauge, limits, failure, now=now, ctx=ctx)
    elif was_probe:
        gauge.probe_id = gauge.waits_until = None
    gauge.save()


def _breaker(gauge: IntegrationGauge, *, now: datetime) -> Wait | None:
    if gauge.opened_at is None:
        return None
    if gauge.open_until is not None and gauge.open_until > now:
        return Wait(gauge.open_until, WaitReason.BREAKER)
    probe = Execution.objects.filter(
        tenant_id=gauge.tenant_id,
        id=gauge.probe_id or uuid.UUID(int=0),
        fencing_token=gauge.probe_token,
        status=ExecutionStatus.RUNNING,
        lease_until__gt=now,
    ).first()
    return Wait(probe.lease_until or now + LEASE_DURATION, WaitReason.BREAKER) if probe is not None else None


def _concurrency(execution: Execution, limits: Limits, *, now: datetime) -> Wait | None:
    if limits.concurrency is None:
        return None
    running = Execution.objects.filter(
        tenant_id=execution.tenant_id,
        integration=execution.integration,
        status=ExecutionStatus.RUNNING,
        lease_until__gt=now,
    ).count()
    return Wait(now + LOOK_AGAIN, WaitReason.CONCURRENCY) if running >= limits.concurrency else None


def _rate(gauge: IntegrationGauge, limits: Limits, *, now: datetime) -> Wait | None:
    opens_at = rate_opens_at(calls_within(gauge.recent_calls, limits, now=now), limits)
    return Wait(opens_at, WaitReason.RATE) if opens_at is not None and opens_at > now else None


def _open(
    gauge: IntegrationGauge, limits: Limits, failure: FailureClass | None, *, now: datetime, ctx: ActingContext
) -> None:
    is_new = gauge.opened_at is None
    gauge.opened_at = gauge.opened_at or now
    gauge.open_until = now + timedelta(seconds=limits.backoff_s)
    gauge.waits_until, gauge.waits_for = gauge.open_until, WaitReason.BREAKER
    gauge.probe_id = None
    if is_new:
        said = {"failures": gauge.failures, "failure": str(failure), "rest_s": limits.backoff_s}
        _record("integration.breaker_opened", gauge, said, ctx=ctx)


def _close(gauge: IntegrationGauge, *, ctx: ActingContext) -> None:
    if gauge.opened_at is not None:
        _record("integration.breaker_closed", gauge, {"failures": gauge.failures}, ctx=ctx)
        gauge.waits_until, gauge.waits_for = None, ""
    gauge.failures = 0
    gauge.opened_at = gauge.open_until = gauge.probe_id = None


def _record(kind: str, gauge: IntegrationGauge, said: dict[str, object], *, ctx: ActingContext) -> None:
    record(Entry(kind=kind, subject=Subject(integration=gauge.integration.slug), outcome=said), ctx=ctx)


def _says_nothing(gauge: IntegrationGauge) -> bool:
    return gauge.opened_at is None and gauge.waits_until is None and gauge.concurrency is gauge.rate_calls is None


def _has_nothing_to_learn(gauge: IntegrationGauge) -> bool:
    return not gauge.failures and gauge.opened_at is None and gauge.waits_for != WaitReason.CONCURRENCY


def _current(execution: Execution) -> tuple[Integration, Limits] | None:
    """Return the integration and its current limits, not those of the version pinned by the envelope."""
    integration = integration_of(execution)
    if integration is None or integration.current_version is None:
        return None
    try:
        document = document_of(integration.current_version)
    except ThreadaError:
        return None
    return None if document.connector == "workflow" else (integration, document.limits)


def _locked(integration: Integration) -> IntegrationGauge:
    made = IntegrationGauge(tenant_id=integration.tenant_id, integration=integration)
    IntegrationGauge.objects.bulk_create([made], ignore_conflicts=True)
    return IntegrationGauge.objects.select_for_update().get(tenant_id=integration.tenant_id, integration=integration)
