"""Receipts of permits. Those about a use name the execution; the others name the step on which it was proposed."""

from __future__ import annotations

from typing import Any

from integrations.models import Execution
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.personal_data.erasable_fields import is_erased
from workitems.items.receipts import record_item
from workitems.models import Permit, WorkItem
from workitems.permits.terms import Terms, terms_from_json


def limits_of(permit: Permit) -> Terms:
    """Return the terms in force. Bounds that were erased are left out."""
    bounds = [] if is_erased(permit.bounds) else permit.bounds
    return terms_from_json({**permit.limits, "bounds": bounds})


def set_limits(permit: Permit, terms: Terms) -> None:
    """Make `terms` those in force. Bounds are stored apart: they may name people, and can be erased."""
    limits = terms.as_json()
    permit.bounds = limits.pop("bounds")
    permit.limits, permit.ends_at = limits, terms.ends_at


def record_permit(verb: str, permit: Permit, *, ctx: ActingContext, **inputs: Any) -> None:
    """Write the receipt `permit.<verb>` with the digests of the approved terms and of those in force."""
    subject = Subject(
        work_item_id=permit.work_item_id,
        workflow=permit.workflow,
        integration=permit.integration,
        status=permit.status,
    )
    entry = Entry(
        kind=f"permit.{verb}",
        subject=subject,
        inputs={**_named(permit), "decision_step_id": ids.public_id(ids.DECISION_STEP, permit.step_id), **inputs},
        outcome={"status": permit.status, **_usage(permit)},
    )
    record(entry, ctx=ctx)


def record_use(
    verb: str, permit: Permit, item: WorkItem, execution: Execution, *, ctx: ActingContext, **inputs: Any
) -> None:
    """Write the receipt `permit.<verb>` about an execution that uses the permit."""
    record_item(
        f"permit.{verb}",
        item,
        ctx=ctx,
        execution=execution,
        inputs={**_named(permit), **inputs},
        outcome={"status": permit.status, **_usage(permit)},
    )


def _named(permit: Permit) -> dict[str, Any]:
    return {
        "permit_id": permit.public_id,
        "permit_sha256": permit.sha256,
        "limits_sha256": limits_of(permit).sha256,
        "action": permit.action,
    }


def _usage(permit: Permit) -> dict[str, Any]:
    """Return the number of uses. The sum is left out: receipts contain no amounts of payloads."""
    return {"used_count": permit.used_count, "max_count": permit.limits["max_count"]}
