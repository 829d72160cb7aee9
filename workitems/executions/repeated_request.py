"""Repeated requests for an action: one execution for each tenant, principal and idempotency key, as long as it exists.

Answers are stored for 24 hours (`threada_site.api.idempotency`). After that, a request with the same key is compared
with the execution that the first one created.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from django.db import IntegrityError

from integrations import selectors as systems
from integrations.models import Execution
from threada_site.database.prepared_reads import PreparedRead
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.json.canonical import commitment
from threada_site.personal_data.erasable_fields import is_erased
from workitems.models import DecisionStep, WorkItem


@dataclass(frozen=True, slots=True)
class EarlierRequest:
    """Execution that a principal requested with an idempotency key, its work item, and the last step about it."""

    item: WorkItem
    execution: Execution
    step: DecisionStep | None

    def check_permitted(self, *, ctx: ActingContext) -> None:
        """Raise `PermissionDenied` without `actions:execute` on the workflow of the item."""
        if not ctx.allows(Scope.ACTIONS_EXECUTE, workflow=self.item.workflow_version.workflow_id):
            raise errors.PermissionDenied(f"You do not hold actions:execute on the workflow {self.item.workflow}.")

    def check_same_input(self, value: dict[str, Any]) -> None:
        """Raise `IdempotencyKeyReused` unless the execution was requested with this input.

        Raises `ContentsRemoved` if the input can no longer be compared.
        """
        if is_erased(self.item.payload_salt):
            raise errors.ContentsRemoved(
                "The contents of this work item were removed, so the input cannot be compared with the first request."
            )
        if input_commitment(self.item, value) != self.execution.input_commitment:
            raise key_reused()


def earlier_request(key: str | None, *, ctx: ActingContext) -> EarlierRequest | None:
    """Return the request that the acting principal sent with `key`, or None."""
    execution = systems.execution_under_key(key, ctx=ctx) if key else None
    return None if execution is None else _request_of(execution, ctx=ctx)


def own_request(execution_id: uuid.UUID, *, ctx: ActingContext) -> EarlierRequest:
    """Return the request of the acting principal that has created an execution. Raise `NotFound`."""
    execution = _own_execution.first(ctx.tenant_id, execution_id, ctx.principal_id)
    if execution is None:
        raise errors.NotFound
    return _request_of(execution, ctx=ctx)


def _request_of(execution: Execution, *, ctx: ActingContext) -> EarlierRequest:
    item = _item.first(ctx.tenant_id, execution.work_item_id)
    if item is None:
        raise errors.NotFound
    return EarlierRequest(item, execution, _last_step.first(ctx.tenant_id, execution.id))


_own_execution: Final = PreparedRead(
    lambda tenant, execution, principal: Execution.objects.filter(
        tenant_id=tenant, id=execution, requested_by=principal
    )
)
_item: Final = PreparedRead(
    lambda tenant, item: WorkItem.objects.filter(tenant_id=tenant, id=item).select_related(
        "workflow_version", "requester"
    )
)
_last_step: Final = PreparedRead(
    lambda tenant, execution: DecisionStep.objects.filter(tenant_id=tenant, execution_id=execution).order_by("-id")[:1]
)


def input_commitment(item: WorkItem, value: dict[str, Any]) -> str:
    """Return the salted digest of the input of an action on `item`."""
    return commitment(bytes(item.payload_salt), value)


def key_reused() -> errors.IdempotencyKeyReused:
    """Return the error of a request whose key belongs to another execution."""
    return errors.IdempotencyKeyReused(
        "An execution was requested with this Idempotency-Key and another body. Use a new key."
    )


@contextmanager
def key_conflicts_as_in_flight() -> Iterator[None]:
    """Raise `IdempotencyInFlight` if a concurrent request inserts an execution with the same key first."""
    try:
        yield
    except IntegrityError as error:
        if "execution_idempotency_key_once" not in str(error):
            raise
        raise errors.IdempotencyInFlight(headers={"Retry-After": "1"}) from None
