"""Executions that were requested with the same arguments, for callers that send no idempotency key."""

from __future__ import annotations

from typing import Any

from integrations.models import Execution
from threada_site.kernel.context import ActingContext
from threada_site.personal_data.erasable_fields import is_erased
from workitems.executions.repeated_request import EarlierRequest, input_commitment
from workitems.models import DecisionStep, WorkItem


def equal_request(
    item: WorkItem, *, integration: str, action: str, input_: dict[str, Any], ctx: ActingContext
) -> EarlierRequest | None:
    """Return the newest request of the acting principal for this action and input on a locked item, or None.

    Requests for executions of an item need its lock, so two equal ones at the same time find each other.
    """
    if is_erased(item.payload_salt):
        return None
    execution = (
        Execution.objects.filter(
            tenant_id=ctx.tenant_id,
            work_item_id=item.id,
            requested_by=ctx.principal_id,
            integration=integration,
            action=action,
            input_commitment=input_commitment(item, input_),
        )
        .order_by("-id")
        .first()
    )
    if execution is None:
        return None
    steps = DecisionStep.objects.filter(tenant_id=ctx.tenant_id, execution_id=execution.id)
    return EarlierRequest(item, execution, steps.order_by("-id").first())
