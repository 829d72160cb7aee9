"""Dead letters: executions that failed after all attempts and whose item still waits for somebody to act.

Retrying a dead letter keeps its envelope and approval; the re-check before the call applies.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Final

from django.db.models import Exists, OuterRef, Q, QuerySet

from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from threada_site.database.unit_of_work import require_unit_of_work, unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError
from workitems import selectors
from workitems.executions.operator_actions import retry_execution
from workitems.items.locks import locked_execution
from workitems.lifecycle import WorkItemStatus
from workitems.models import WorkItem

MOST_AT_ONCE: Final = 200
"""Maximum number of executions per transaction. Repeat the call for more."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Execution that was not retried, and the error."""

    execution_id: uuid.UUID
    refusal: ThreadaError


@dataclass(frozen=True, slots=True)
class BulkRetry:
    """Result of retrying several executions, in the order of their work items."""

    retried: list[uuid.UUID]
    refused: list[Refused]
    has_more: bool = False


def only_dead_letters(executions: QuerySet[Execution]) -> QuerySet[Execution]:
    """Filter `executions` to those that failed after an attempt, are the last of their item, and can be retried."""
    newer = Execution.objects.filter(
        tenant_id=OuterRef("tenant_id"), work_item_id=OuterRef("work_item_id"), id__gt=OuterRef("id")
    )
    failed = WorkItem.objects.filter(
        tenant_id=OuterRef("tenant_id"), id=OuterRef("work_item_id"), status=WorkItemStatus.FAILED
    )
    return executions.filter(
        Q(undoes_id__isnull=False) | Q(Exists(failed)),
        ~Exists(newer),
        status=ExecutionStatus.FAILED,
        attempts_made__gt=0,
        is_repeatable=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Filter for dead letters; an empty string matches any."""

    workflow: str = ""
    integration: str = ""
    action: str = ""
    failure: str = ""


def dead_letters(criteria: Criteria, *, ctx: ActingContext) -> QuerySet[Execution]:
    """Return the dead letters that the context may read, oldest first."""
    wanted = {name: value for name, value in asdict(criteria).items() if value}
    return only_dead_letters(selectors.executions(ctx).filter(**wanted)).order_by("id")


def retry_dead_letters(criteria: Criteria, *, limit: int = MOST_AT_ONCE, ctx: ActingContext) -> BulkRetry:
    """Retry the oldest `limit` dead letters that match `criteria`."""
    found = list(dead_letters(criteria, ctx=ctx).values_list("id", flat=True)[: limit + 1])
    done = retry_executions(found[:limit], ctx=ctx)
    return replace(done, has_more=len(found) > limit)


def retry_executions(execution_ids: Collection[uuid.UUID], *, ctx: ActingContext) -> BulkRetry:
    """Retry each of `execution_ids` in its own savepoint, so that a refusal does not affect the others.

    Raises `InvalidRequest` for more than 200.
    """
    require_unit_of_work(ctx.tenant_id)
    if len(execution_ids) > MOST_AT_ONCE:
        raise errors.InvalidRequest(f"Retry at most {MOST_AT_ONCE} at once; these are {len(execution_ids)}.")
    known = selectors.executions(ctx).filter(id__in=execution_ids)
    in_order = list(known.order_by("work_item_id").values_list("id", flat=True))
    retried: list[uuid.UUID] = []
    refused = [Refused(unknown, errors.NotFound()) for unknown in set(execution_ids) - set(in_order)]
    for execution_id in in_order:
        try:
            with unit_of_work(ctx.tenant_id):
                retry_execution(*locked_execution(execution_id, ctx=ctx), ctx=ctx)
        except ThreadaError as refusal:
            refused.append(Refused(execution_id, refusal))
        else:
            retried.append(execution_id)
    return BulkRetry(retried, refused)


def named(refused: Refused) -> str:
    """Return the public id of a refused execution."""
    return ids.public_id(ids.EXECUTION, refused.execution_id)
