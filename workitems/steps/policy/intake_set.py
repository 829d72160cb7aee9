"""Intake decisions of several new work items of a tenant in one transaction."""

from __future__ import annotations

import time
import uuid
from typing import Final

import structlog
from django.db import connection

from threada_site.database.batched_writes import batched_writes
from threada_site.database.sets.shared_reads import shared_reads
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.context import job_context
from threada_site.jobs.enqueue import withdraw_jobs
from threada_site.tenancy.models import Tenant
from workitems import selectors
from workitems.items.intake import DECIDE_INTAKE
from workitems.lifecycle import WorkItemStatus
from workitems.models import WorkItem
from workitems.steps.policy.decision import decide_new_item

WITHIN_S: Final = 0.1
"""A set takes no further decision after this time, because a request about one of its items waits for the set."""

log = structlog.get_logger("threada.intake")


def decide_intake(tenant: Tenant, item_id: uuid.UUID) -> None:
    """Decide about a work item if it is `new`, and in the same transaction about others of the tenant.

    Rules and members are read once, and all rows are written by one statement, which also deletes the waiting jobs of
    the others. If the set fails, decide about the item alone: the others keep their jobs.
    """
    try:
        _decide(tenant, item_id, with_others=True)
    except Exception:
        if connection.in_atomic_block:
            raise
        log.warning("intake_set_failed", exc_info=True)
        connection.close()
        _decide(tenant, item_id, with_others=False)


def _decide(tenant: Tenant, item_id: uuid.UUID, *, with_others: bool) -> None:
    with unit_of_work(tenant.id), shared_reads():
        item = selectors.work_item_for_update(item_id, tenant_id=tenant.id)
        if item is None or item.status != WorkItemStatus.NEW:
            return
        others = selectors.unlocked_new_items_for_update(tenant.id, item_id) if with_others else []
        if others:
            selectors.read_evidence_ahead((each.id for each in (item, *others)), tenant_id=tenant.id)
        with batched_writes(as_sets=bool(others)):
            _decide_about(tenant, item)
            decided = _decide_within(tenant, others, ends=time.monotonic() + WITHIN_S)
            if decided:
                withdraw_jobs(DECIDE_INTAKE, decided)


def _decide_within(tenant: Tenant, items: list[WorkItem], *, ends: float) -> list[str]:
    """Decide about items until `ends`, in seconds of `time.monotonic`. Return the ids of those decided about."""
    decided = []
    for item in items:
        if time.monotonic() > ends:
            break
        _decide_about(tenant, item)
        decided.append(str(item.id))
    return decided


def _decide_about(tenant: Tenant, item: WorkItem) -> None:
    decide_new_item(item, ctx=job_context(tenant, item.correlation_id))
