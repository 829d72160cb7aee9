"""Permissions and activity of an agent, as its page shows them."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from integrations.models import Execution
from policies import selectors as policy_selectors
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.effective_permissions import EffectivePermissions
from workitems import selectors
from workitems.executions.freeze_states import with_frozen_executions
from workitems.items.titles import listed_title
from workitems.models import Party, WorkItem
from workitems.permits.selectors import permits

NEWEST: Final = 20
_MOST_WORKFLOWS: Final = 100


@dataclass(frozen=True, slots=True)
class Requestable:
    """Workflow in which an agent may create work items, and the actions that it may request there."""

    workflow: str
    actions: Sequence[str]


@dataclass(frozen=True, slots=True)
class Case:
    """Work item of an agent, with the executions that the agent requested."""

    item: WorkItem
    title: str
    executions: list[Execution] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Activity:
    """Newest work items of an agent, and the number of its executions on them by displayed status."""

    cases: list[Case]
    counts: list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class PermitUsage:
    """Permit in effect, how many of its uses are taken, and the work item on which it was approved."""

    permit_id: str
    action: str
    integration: str
    used: int
    most: int
    ends_at: datetime
    item: str


def requestable(permissions: EffectivePermissions, *, ctx: ActingContext) -> list[Requestable]:
    """Return what the permissions of a principal allow in the workflows that the context may read.

    Integrations on which the principal holds scopes are not considered.
    """
    found = []
    rows = policy_selectors.workflows(ctx).filter(current_version__isnull=False).order_by("slug")
    for workflow in rows[:_MOST_WORKFLOWS]:
        if not _holds(permissions, Scope.WORKITEMS_WRITE, workflow.id):
            continue
        may_execute = _holds(permissions, Scope.ACTIONS_EXECUTE, workflow.id)
        assert workflow.current_version is not None  # noqa: S101
        actions = workflow.current_version.spec.get("actions", ()) if may_execute else ()
        found.append(Requestable(workflow.slug, actions))
    return found


def activity(principal_id: uuid.UUID, *, ctx: ActingContext) -> Activity:
    """Return the newest work items that a principal submitted, requested or is named in, as far as the context may
    read them. Runs two statements."""
    own = Party.objects.filter(tenant_id=ctx.tenant_id, principal_id=principal_id).order_by("-work_item_id")
    newest = own.values("work_item_id")[:NEWEST]
    items = selectors.work_items(ctx).filter(id__in=newest).defer("payload", "payload_salt").order_by("-id")
    cases = {item.id: Case(item, listed_title(item)) for item in items}
    runs = with_frozen_executions(selectors.executions(ctx), ctx=ctx)
    runs = runs.filter(work_item_id__in=list(cases), requested_by=principal_id)
    counts: Counter[str] = Counter()
    for run in runs.defer("input", "result", "failure_detail").order_by("-id"):
        cases[run.work_item_id].executions.append(run)
        counts["blocked_by_freeze" if _is_frozen(run) else run.status] += 1
    return Activity(list(cases.values()), counts.most_common())


def permits_in_use(principal: str, *, ctx: ActingContext) -> list[PermitUsage]:
    """Return the permits in effect that cover a principal, by public id, and that the context may read."""
    rows = permits(ctx).filter(status="in_effect", ends_at__gt=clock.now(), limits__principals__contains=[principal])
    return [
        PermitUsage(
            row.public_id,
            row.action,
            row.integration,
            row.used_count,
            row.limits["max_count"],
            row.ends_at,
            ids.public_id(ids.WORK_ITEM, row.work_item_id),
        )
        for row in rows.order_by("ends_at", "id")[:NEWEST]
    ]


def _is_frozen(run: Any) -> bool:
    return bool(run.is_frozen)


def _holds(permissions: EffectivePermissions, scope: Scope, workflow: uuid.UUID) -> bool:
    return scope in permissions.scopes or scope in permissions.grants.workflows.get(workflow, ())
