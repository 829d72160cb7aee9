"""Receipts of permits. Those about a use name the execution; the others name the step on which it was proposed."""

from __future__ import annotations

from typing import Any

import orjson

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
    """Return the terms in force. Bounds and salt are left out once they are erased."""
    bounds = [] if is_erased(permit.bounds) else permit.bounds
    salt = "" if is_erased(permit.body) else approved_terms(permit).salt
    return terms_from_json({**permit.limits, "bounds": bounds, "salt": salt})


def approved_terms(permit: Permit) -> Terms:
    """Return the terms in the body of a permit that is not erased."""
    return terms_from_json(orjson.loads(bytes(permit.body)))


def set_limits(permit: Permit, terms: Terms) -> None:
    """Make `terms` those in force.

    Bounds are stored apart, because they may name people, and can be erased. The salt is in the body alone.
    """
    limits = terms.as_json()
    permit.bounds = limits.pop("bounds")
    limits.pop("salt", None)
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
