"""Requests of a person: their work items, in words, and what a person may do with one."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import QuerySet
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from policies import selectors as policy_selectors
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import User
from workitems import selectors
from workitems.executions.declared_request import execute_declared, may_execute_declared
from workitems.items.requester_questions import waits_for_requester
from workitems.items.titles import listed_title
from workitems.lifecycle import WORK_ITEM, StepStatus, WorkItemStatus
from workitems.models import DecisionStep, PendingApproverKey, WorkItem

_WORDS: Final = {
    WorkItemStatus.NEW: gettext_noop("Received"),
    WorkItemStatus.IN_REVIEW: gettext_noop("In review"),
    WorkItemStatus.AWAITING_APPROVAL: gettext_noop("Waiting for approval"),
    WorkItemStatus.READY: gettext_noop("Ready"),
    WorkItemStatus.EXECUTING: gettext_noop("In progress"),
    WorkItemStatus.FAILED: gettext_noop("Failed"),
    WorkItemStatus.REFUSED: gettext_noop("Refused by a policy"),
    WorkItemStatus.REJECTED: gettext_noop("Rejected"),
    WorkItemStatus.EXPIRED: gettext_noop("Not decided in time"),
    WorkItemStatus.RESOLVED: gettext_noop("Done"),
    WorkItemStatus.CANCELLED: gettext_noop("Withdrawn"),
}
_TONES: Final = {
    WorkItemStatus.RESOLVED: "good",
    WorkItemStatus.FAILED: "bad",
    WorkItemStatus.REFUSED: "bad",
    WorkItemStatus.REJECTED: "bad",
    WorkItemStatus.EXPIRED: "bad",
    WorkItemStatus.IN_REVIEW: "waiting",
    WorkItemStatus.AWAITING_APPROVAL: "waiting",
    WorkItemStatus.NEW: "busy",
    WorkItemStatus.READY: "waiting",
    WorkItemStatus.EXECUTING: "busy",
}
_DONE: Final = {
    ExecutionStatus.AWAITING_APPROVAL: gettext_noop("waits for approval"),
    ExecutionStatus.STARTED: gettext_noop("is queued"),
    ExecutionStatus.RUNNING: gettext_noop("is running"),
    ExecutionStatus.SUCCEEDED: gettext_noop("succeeded"),
    ExecutionStatus.FAILED: gettext_noop("failed"),
    ExecutionStatus.OUTCOME_UNKNOWN: gettext_noop("has an unknown outcome"),
    ExecutionStatus.REJECTED: gettext_noop("was rejected"),
    ExecutionStatus.EXPIRED: gettext_noop("was not decided in time"),
    ExecutionStatus.CANCELLED: gettext_noop("was cancelled"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """Request in a list. `waits_for` are names of roles, groups and people."""

    id: str
    title: str
    workflow: str
    status: str
    tone: str
    requested_at: datetime
    waits_for: tuple[str, ...] = ()
    until: datetime | None = None
    executed: tuple[str, ...] = ()


def own_requests(ctx: ActingContext) -> QuerySet[WorkItem]:
    """Return the work items whose requester is the acting person. Others are never among them."""
    return _requested_by(ctx).defer("payload", "payload_salt", "ended_reason")


def own_request(public_id: str, *, ctx: ActingContext) -> WorkItem | None:
    """Return one request of the acting person with its contents, or None."""
    parsed = ids.parse_public_id(ids.WORK_ITEM, public_id)
    if parsed is None:
        return None
    rows = _requested_by(ctx).filter(id=parsed)
    return rows.select_related("workflow_version__workflow", "requester", "ended_by").first()


def _requested_by(ctx: ActingContext) -> QuerySet[WorkItem]:
    """Return the requests of the acting person in workflows where the person may still create or read work items."""
    rows = WorkItem.objects.filter(tenant_id=ctx.tenant_id, requester_id=ctx.principal_id)
    reads, writes = ctx.workflows_with(Scope.WORKITEMS_READ), ctx.workflows_with(Scope.WORKITEMS_WRITE)
    if reads is None or writes is None:
        return rows
    return rows.filter(workflow_version__workflow_id__in=reads | writes)


def locked_request(public_id: str, *, ctx: ActingContext) -> WorkItem:
    """Return one request of the acting person, locked. Raise `NotFound`."""
    parsed = ids.parse_public_id(ids.WORK_ITEM, public_id)
    if parsed is None or not own_requests(ctx).filter(id=parsed).exists():
        raise errors.NotFound(_("You have no such request."))
    item = selectors.work_item_for_update(parsed, tenant_id=ctx.tenant_id)
    if item is None:
        raise errors.NotFound(_("You have no such request."))
    return item


def rows_of(items: list[WorkItem], *, ctx: ActingContext) -> list[RequestRow]:
    """Return requests in words, in four statements."""
    named = {"tenant_id": ctx.tenant_id, "work_item_id__in": [item.id for item in items]}
    steps = {
        step.work_item_id: step
        for step in DecisionStep.objects.filter(**named, status=StepStatus.PENDING).only(
            "id", "work_item_id", "respond_due_at", "expires_at", "paused_at", "pause_ends_at"
        )
    }
    waiting: dict[uuid.UUID, list[str]] = defaultdict(list)
    keys = PendingApproverKey.objects.filter(tenant_id=ctx.tenant_id, step_id__in=[step.id for step in steps.values()])
    for step_id, key in keys.order_by("key").values_list("step_id", "key"):
        waiting[step_id].append(key)
    executed: dict[uuid.UUID, list[str]] = defaultdict(list)
    runs = (
        Execution.objects.filter(**named)
        .order_by("id")
        .only("id", "work_item_id", "action", "status", "is_simulated", "undo_due_at")
    )
    for run in runs:
        executed[run.work_item_id].append(_executed(run))
    names = workflow_names({item.workflow for item in items}, ctx=ctx)
    people = _names({key for found in waiting.values() for key in found}, reader=ctx.principal_name)
    return [
        RequestRow(
            id=item.public_id,
            title=listed_title(item),
            workflow=names[item.workflow],
            status=words_of(item),
            tone=_TONES.get(WorkItemStatus(item.status), "plain"),
            requested_at=item.created_at,
            waits_for=_waits_for(item, [people[key] for key in waiting[steps[item.id].id]] if item.id in steps else []),
            until=_until(steps.get(item.id)),
            executed=tuple(executed[item.id]),
        )
        for item in items
    ]


def workflow_names(slugs: set[str], *, ctx: ActingContext) -> dict[str, str]:
    """Return the names of workflows, or their ids."""
    found = policy_selectors.all_workflows(ctx).filter(slug__in=slugs).values_list("slug", "name")
    return {slug: slug for slug in slugs} | {slug: name or slug for slug, name in found}


def words_of(item: WorkItem) -> str:
    if waits_for_requester(item):
        return _("Waiting for your answer")
    return _(_WORDS[WorkItemStatus(item.status)])


def tone_of(item: WorkItem) -> str:
    if waits_for_requester(item):
        return "waiting"
    return _TONES.get(WorkItemStatus(item.status), "plain")


def executions_of(item: WorkItem) -> list[tuple[str, datetime]]:
    """Return what was executed in words, each with the time of its last change."""
    rows = Execution.objects.filter(tenant_id=item.tenant_id, work_item_id=item.id).order_by("id")
    return [(_executed(run), run.finished_at or run.created_at) for run in rows.defer("input", "result")]


def may_withdraw(item: WorkItem, *, ctx: ActingContext) -> bool:
    """Return True if the status of the request and the person's permissions allow withdrawing it."""
    may_write = ctx.allows(Scope.WORKITEMS_WRITE, workflow=item.workflow_version.workflow_id)
    status = WorkItemStatus(item.status)
    current = WorkItemStatus.READY if status is WorkItemStatus.EXECUTING else status
    running = (ExecutionStatus.RUNNING, ExecutionStatus.OUTCOME_UNKNOWN)
    is_running = Execution.objects.filter(tenant_id=item.tenant_id, work_item_id=item.id, status__in=running).exists()
    return may_write and WORK_ITEM.allows(current, WorkItemStatus.CANCELLED) and not is_running


def may_start(item: WorkItem, *, ctx: ActingContext) -> bool:
    """Return True if people have decided about the request, and its action can be started now."""
    return item.status == WorkItemStatus.READY and may_execute_declared(item, ctx=ctx)


def start_request(item: WorkItem, *, ctx: ActingContext) -> None:
    """Execute the declared action of a locked request about which people have decided.

    Raise the errors of `execute_declared`; a denial by a policy is stored.
    """
    execute_declared(item, ctx=ctx)


def denial_in_words(refusal: errors.ThreadaError) -> list[str]:
    """Return the messages of the rules that denied a request; the code of a reason where a rule has no message."""
    said = (reason.get("message") or reason["reason"].replace("_", " ").capitalize() for reason in refusal.reasons)
    return list(dict.fromkeys(said))


def _executed(run: Execution) -> str:
    action = run.action.replace("_", " ").capitalize()
    status = _(_DONE[ExecutionStatus(run.status)])
    if run.undo_due_at is not None:
        until = date_format(localtime(run.undo_due_at), "SHORT_DATETIME_FORMAT")
        status = _("%(status)s, ends by itself on %(until)s") % {"status": status, "until": until}
    if run.is_simulated:
        return _("%(action)s: %(status)s (simulated, nothing is sent)") % {"action": action, "status": status}
    return f"{action}: {status}"


def _waits_for(item: WorkItem, approvers: list[str]) -> tuple[str, ...]:
    return (_("you"),) if waits_for_requester(item) else tuple(dict.fromkeys(approvers))


def _until(step: DecisionStep | None) -> datetime | None:
    if step is None:
        return None
    if step.paused_at is not None:
        return step.pause_ends_at
    return min((at for at in (step.respond_due_at, step.expires_at) if at is not None), default=None)


def _names(keys: set[str], *, reader: str) -> dict[str, str]:
    """Return approver keys (`role:finance`, `user:ada`, `scope:decisions:decide`) as names; the reader's is "you"."""
    named = {key: key.partition(":") for key in keys}
    usernames = [value for kind, _colon, value in named.values() if kind == "user"]
    rows = User.objects.filter(username__in=usernames, home_tenant__isnull=True) if usernames else ()
    people = {user.username: str(user) for user in rows} | {reader: _("you")}
    return {
        key: _("people who may decide") if kind == "scope" else people.get(value, value) if kind == "user" else value
        for key, (kind, _colon, value) in named.items()
    }
