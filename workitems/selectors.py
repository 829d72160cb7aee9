"""Selectors of cases: filtered by tenant and by the permissions of the context."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from typing import Final

from django.db.models import F, Prefetch, Q, QuerySet

from integrations.models import Execution, Freeze
from threada_site.database.case_visibility import KEYSET
from threada_site.database.prepared_reads import PreparedRead
from threada_site.database.sets.unlocked_rows import UnlockedRows
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext, Scope, Visibility
from threada_site.personal_data.erasable_fields import is_erased
from workitems.approvers.can_vote import can_vote
from workitems.lifecycle import WORK_ITEM, StepStatus, WorkItemStatus
from workitems.models import (
    DecisionStep,
    Delegation,
    Evidence,
    NoticeMessage,
    Party,
    SavedView,
    Vote,
    WorkItem,
)

_OPEN: Final = tuple(status.value for status in WorkItemStatus if status not in WORK_ITEM.ends)


def work_items(ctx: ActingContext) -> QuerySet[WorkItem]:
    """Return the work items that the context may read: all, its own and those that name it, or those of granted
    workflows."""
    rows = WorkItem.objects.filter(tenant_id=ctx.tenant_id)
    if _is_limited_to_own(ctx):
        own = rows.filter(party__tenant_id=ctx.tenant_id, party__principal_id=ctx.principal_id)
        return own.alias(**{KEYSET: F("party__work_item_id")})
    readable = _readable(ctx, item="id", workflow="workflow_version__workflow_id")
    return rows if readable is None else rows.filter(readable)


def open_items(tenant_id: uuid.UUID) -> QuerySet[WorkItem]:
    """Return the work items of a tenant that have not ended."""
    return WorkItem.objects.filter(tenant_id=tenant_id, status__in=_OPEN)


def _is_limited_to_own(ctx: ActingContext) -> bool:
    """Return True if the context reads its own work items and no granted workflow."""
    return Scope.WORKITEMS_READ in ctx.scopes and ctx.row_visibility is Visibility.OWN


def reads_all_cases(ctx: ActingContext) -> bool:
    """Return True if the context may read every case of its tenant."""
    return Scope.WORKITEMS_READ in ctx.scopes and ctx.visibility is Visibility.TENANT


def _readable(ctx: ActingContext, *, item: str, workflow: str) -> Q | None:
    """Return the condition for rows of cases that the context may read; None if it may read all.

    `item` and `workflow` are the lookups of the ids of work item and workflow.
    """
    if reads_all_cases(ctx):
        return None
    granted = Q(**{f"{workflow}__in": ctx.granted_workflows(Scope.WORKITEMS_READ)})
    if Scope.WORKITEMS_READ not in ctx.scopes:
        return granted
    parties = Party.objects.filter(tenant_id=ctx.tenant_id, principal_id=ctx.principal_id)
    own = Q(**{f"{item}__in": parties.values("work_item_id")})
    return own if _is_limited_to_own(ctx) else own | granted


def work_item(work_item_id: uuid.UUID, *, ctx: ActingContext, with_evidence: bool = True) -> WorkItem | None:
    """Return one work item with its workflow version, principals and, in a second statement, evidence."""
    rows = work_items(ctx).filter(id=work_item_id)
    rows = rows.select_related("workflow_version", "requester", "submitted_by", "assignee", "ended_by")
    if with_evidence:
        rows = rows.prefetch_related(Prefetch("evidence", queryset=Evidence.objects.order_by("position")))
    return rows.first()


def work_item_for_update(work_item_id: uuid.UUID, *, tenant_id: uuid.UUID) -> WorkItem | None:
    """Return the locked row. It is the first lock of every service that changes the case."""
    return _locked_item.first(work_item_id, tenant_id)


def work_item_of_execution_for_update(execution_id: uuid.UUID, *, tenant_id: uuid.UUID) -> WorkItem | None:
    """Return the locked work item of an execution."""
    return _locked_item_of_execution.first(execution_id, tenant_id)


_locked_items: Final = WorkItem.objects.select_for_update(of=("self",)).select_related("workflow_version", "requester")
_locked_item: Final = PreparedRead(lambda item, tenant: _locked_items.filter(tenant_id=tenant, id=item))
_locked_item_of_execution: Final = PreparedRead(
    lambda execution, tenant: _locked_items.filter(
        tenant_id=tenant,
        id=Execution.objects.filter(tenant_id=tenant, id=execution).values("work_item_id")[:1],
    )
)


def unlocked_items_for_update(item_ids: Collection[uuid.UUID], *, tenant_id: uuid.UUID) -> dict[uuid.UUID, WorkItem]:
    """Lock work items that nobody else has locked, in the order of their keys. Return them by id."""
    return {item.id: item for item in _unlocked_items(tenant_id, list(item_ids))}


_unlocked_items: Final = UnlockedRows(
    WorkItem, "workflow_version", condition="r.tenant_id = $1::uuid AND r.id = ANY($2::uuid[]) ORDER BY r.id"
)


def unlocked_new_items_for_update(tenant_id: uuid.UUID, besides: uuid.UUID) -> list[WorkItem]:
    """Lock the oldest items with status `new`, except `besides` and those that another transaction has locked.

    Return at most 31: with `besides` they are a set of 32.
    """
    return _unlocked_new_items(tenant_id, besides)


_unlocked_new_items: Final = PreparedRead(
    lambda tenant, besides: (
        WorkItem.objects.select_for_update(of=("self",), skip_locked=True)
        .select_related("workflow_version", "requester")
        .filter(tenant_id=tenant, status=WorkItemStatus.NEW)
        .exclude(id=besides)
        .order_by("id")[:31]
    )
)


def read_evidence_ahead(item_ids: Iterable[uuid.UUID], *, tenant_id: uuid.UUID) -> None:
    """Read the evidence of several work items, for `evidence_of` in `shared_reads`."""
    _evidence.read_ahead([(item_id, tenant_id) for item_id in item_ids])


def read_ahead_for_runs(executions: Collection[Execution], *, tenant_id: uuid.UUID) -> None:
    """Read evidence and steps of several executions, for `evidence_of` and `steps_about` in `shared_reads`."""
    read_evidence_ahead((execution.work_item_id for execution in executions), tenant_id=tenant_id)
    _steps_about.read_ahead([(tenant_id, execution.id, execution.envelope_id) for execution in executions])


def steps_about(execution: Execution) -> list[DecisionStep]:
    """Return the steps that decided on the current envelope of an execution."""
    return _steps_about(execution.tenant_id, execution.id, execution.envelope_id)


_steps_about: Final = PreparedRead(
    lambda tenant, execution, envelope: DecisionStep.objects.filter(
        tenant_id=tenant, execution_id=execution, envelope_id=envelope
    )
)


def evidence_of(item: WorkItem) -> list[Evidence]:
    """Return the evidence of a case, in order."""
    return _evidence(item.id, item.tenant_id)


def evidence_rows(item_id: uuid.UUID, tenant_id: uuid.UUID) -> QuerySet[Evidence]:
    """Return the rows of `evidence_of`, to be read together with others."""
    return Evidence.objects.filter(tenant_id=tenant_id, work_item_id=item_id).order_by("position")


_evidence: Final = PreparedRead(evidence_rows)


def decision_steps(ctx: ActingContext) -> QuerySet[DecisionStep]:
    """Return the steps of work items that the context may read."""
    rows = DecisionStep.objects.filter(tenant_id=ctx.tenant_id)
    readable = _readable(ctx, item="work_item_id", workflow="work_item__workflow_version__workflow_id")
    return rows if readable is None else rows.filter(readable)


def with_votes(steps: QuerySet[DecisionStep]) -> QuerySet[DecisionStep]:
    """Return the steps with all relations of their representation, in a constant number of statements."""
    return steps.select_related("envelope", "claimed_by", "work_item__workflow_version").prefetch_related(
        Prefetch("votes", queryset=Vote.objects.select_related("voter").order_by("id"))
    )


def pending_step_of(item: WorkItem) -> DecisionStep | None:
    """Return the locked pending step of a case."""
    return (
        DecisionStep.objects.select_for_update(of=("self",))
        .filter(tenant_id=item.tenant_id, work_item=item, status=StepStatus.PENDING)
        .select_related("envelope")
        .first()
    )


def steps_for_update(
    step_ids: Collection[uuid.UUID], *, ctx: ActingContext
) -> dict[uuid.UUID, tuple[WorkItem, DecisionStep]]:
    """Return the locked steps of `step_ids` that the context may read, with their locked items.

    Items are locked before steps, each ordered by id, so that two batches cannot deadlock.
    """
    items = dict(decision_steps(ctx).filter(id__in=step_ids).values_list("id", "work_item_id"))
    locked = {
        item.id: item
        for item in WorkItem.objects.select_for_update(of=("self",))
        .filter(tenant_id=ctx.tenant_id, id__in=set(items.values()))
        .select_related("workflow_version", "requester")
        .order_by("id")
    }
    steps = (
        DecisionStep.objects.select_for_update(of=("self",))
        .filter(tenant_id=ctx.tenant_id, id__in=list(items))
        .select_related("envelope")
        .order_by("id")
    )
    return {step.id: (locked[step.work_item_id], step) for step in steps}


def superseded_before(step: DecisionStep) -> QuerySet[DecisionStep]:
    """Return the step that `step` superseded, with its envelope, or nothing."""
    return (
        DecisionStep.objects.filter(
            tenant_id=step.tenant_id,
            work_item_id=step.work_item_id,
            kind=step.kind,
            status=StepStatus.SUPERSEDED,
            id__lt=step.id,
        )
        .select_related("envelope")
        .order_by("-id")[:1]
    )


def decided_alike(step: DecisionStep, *, ctx: ActingContext, most: int) -> QuerySet[DecisionStep]:
    """Return the newest earlier steps with the same rule and action that were decided."""
    if not step.batch_key:
        return DecisionStep.objects.none()
    rows = decision_steps(ctx).filter(
        batch_key=step.batch_key, status__in=[StepStatus.APPROVED, StepStatus.REJECTED], id__lt=step.id
    )
    return rows.only("id", "tenant", "status", "closed_at", "work_item").order_by("-id")[:most]


def votes_of_people(step: DecisionStep) -> QuerySet[Vote]:
    """Return the votes of people, with the columns that vote counting needs."""
    rows = Vote.objects.filter(tenant_id=step.tenant_id, step=step, voter_kind="human")
    return rows.defer("comment", "envelope_sha256", "reason_code").order_by("id")


def newest_votes(step: DecisionStep, *, before: uuid.UUID | None, most: int) -> QuerySet[Vote]:
    """Return the newest `most` votes with their voters, or those older than `before`."""
    rows = Vote.objects.filter(tenant_id=step.tenant_id, step=step)
    if before is not None:
        rows = rows.filter(id__lt=before)
    return rows.select_related("voter").order_by("-id")[:most]


def rejections_of(item: WorkItem) -> list[Vote]:
    """Return the counted votes that rejected the case, with their voters."""
    rows = Vote.objects.filter(
        tenant_id=item.tenant_id,
        step__work_item=item,
        step__status=StepStatus.REJECTED,
        decision="reject",
        counted=True,
    )
    return list(rows.select_related("voter").defer("comment").order_by("id"))


def rejecting_comments(item: WorkItem, *, ctx: ActingContext) -> list[Vote]:
    """Return the votes of `rejections_of` with a comment, if the context may read their steps."""
    if item.status != WorkItemStatus.REJECTED:
        return []
    rejected = decision_steps(ctx).filter(work_item=item, status=StepStatus.REJECTED)
    rows = Vote.objects.filter(tenant_id=item.tenant_id, step__in=rejected, decision="reject", counted=True)
    votes = rows.select_related("voter").order_by("id")
    return [vote for vote in votes if vote.comment and not is_erased(vote.comment)]


def related_items(item: WorkItem, *, ctx: ActingContext, most: int) -> QuerySet[WorkItem]:
    """Return the newest readable items of the same workflow with the same values at its `related_by`."""
    if not item.related_key:
        return WorkItem.objects.none()
    rows = work_items(ctx).filter(related_key=item.related_key).exclude(id=item.id)
    return rows.defer("payload", "payload_salt", "ended_reason").order_by("-id")[:most]


def delegations(ctx: ActingContext) -> QuerySet[Delegation]:
    """Return past, current and future delegations; to those who see only their own cases, those that name them."""
    rows = Delegation.objects.filter(tenant_id=ctx.tenant_id).select_related("delegator", "delegate")
    if ctx.visibility is Visibility.OWN:
        me = ctx.principal_id
        rows = rows.filter(Q(delegator_id=me) | Q(delegate_id=me) | Q(created_by=me))
    return rows


def delegations_to_consent_to(ctx: ActingContext) -> QuerySet[Delegation]:
    """Return the delegations of the caller that somebody else proposed and that are not in force yet."""
    return delegations(ctx).filter(
        delegator_id=ctx.principal_id, consented_at__isnull=True, ended_at__isnull=True, ends_at__gt=clock.now()
    )


def own_views(ctx: ActingContext, page: str) -> QuerySet[SavedView]:
    """Return the caller's own saved views of a page."""
    rows = SavedView.objects.filter(tenant_id=ctx.tenant_id, membership__user_id=ctx.principal_id, page=page)
    return rows.order_by("name")


def views_of_page(ctx: ActingContext, page: str) -> QuerySet[SavedView]:
    """Return the caller's own saved views of a page, and those that are shared."""
    rows = SavedView.objects.filter(tenant_id=ctx.tenant_id, page=page).select_related("membership")
    return rows.filter(Q(membership__user_id=ctx.principal_id) | Q(is_shared=True)).order_by("name", "id")


def notice_messages(ctx: ActingContext) -> QuerySet[NoticeMessage]:
    """Return the messages of workflows whose telemetry the context may read."""
    rows = NoticeMessage.objects.filter(tenant_id=ctx.tenant_id)
    granted = ctx.workflows_with(Scope.TELEMETRY_READ)
    if granted is not None:
        rows = rows.filter(notice__work_item__workflow_version__workflow_id__in=granted)
    return rows.select_related("notice__step", "notice__work_item", "recipient")


def executions(ctx: ActingContext) -> QuerySet[Execution]:
    """Return the executions on work items that the context may read."""
    rows = Execution.objects.filter(tenant_id=ctx.tenant_id)
    readable = _readable(ctx, item="work_item_id", workflow="work_item__workflow_version__workflow_id")
    if readable is None:
        return rows
    if _is_limited_to_own(ctx):
        return rows.filter(readable)
    return rows.filter(work_item_id__in=work_items(ctx).values("id"))


def freezes(ctx: ActingContext) -> QuerySet[Freeze]:
    """Return the freezes of the tenant, lifted ones too."""
    return Freeze.objects.filter(tenant_id=ctx.tenant_id)


def steps_pending_for(ctx: ActingContext, steps: QuerySet[DecisionStep]) -> QuerySet[DecisionStep]:
    """Return the pending steps of `steps` on which the acting principal can vote now, see `can_vote`.

    Runs three statements, one more while delegations are in force: independent of the number of pending steps.
    """
    condition = can_vote(ctx)
    return steps.none() if condition is None else steps.filter(condition, status=StepStatus.PENDING)
