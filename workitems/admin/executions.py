"""Executions: governed runs of actions, their tries, and what people may do about them."""

from __future__ import annotations

from typing import Any

import orjson
from django.contrib import admin
from django.db.models import QuerySet

from integrations.idempotency import receiver_key
from integrations.lifecycle import ExecutionStatus
from integrations.models import Attempt, Execution
from threada_site.admin import html
from threada_site.admin.acts import Call, Done, act
from threada_site.admin.lists import Column, ListFilter, created_window, words
from threada_site.admin.model_admin import TenantAdmin
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.reasons import REASONS
from threada_site.tenancy.models import User
from workitems import selectors
from workitems.admin.filters import CHANNEL, INTEGRATION, POLICY_VERSION, WORKFLOW
from workitems.api.filters import ExecutionFilters
from workitems.api.shapes import RECONCILE_EXECUTION
from workitems.lifecycle import WorkItemStatus
from workitems.models import DecisionStep, WorkItem
from workitems.services.executions import cancel_execution, reconcile_execution, retry_execution
from workitems.services.locks import locked_execution
from workitems.services.receipts import subject_of


@admin.register(Execution)
class ExecutionAdmin(TenantAdmin):
    id_prefix = ids.EXECUTION
    key = "-id"
    columns = (
        Column("Execution", lambda run: html.code(run.public_id)),
        Column("Status", lambda run: html.badge(run.status)),
        Column("Action", lambda run: f"{run.action} on {run.integration}"),
        Column("Workflow", lambda run: run.workflow),
        Column("Tries", lambda run: run.attempts_made),
        Column("Failure", lambda run: run.failure.replace("_", " ") or html.NOTHING),
        Column("Asked for", lambda run: html.when(run.created_at)),
    )
    filters = (
        ListFilter("status", "Status", choices=words(ExecutionStatus)),
        WORKFLOW,
        CHANNEL,
        INTEGRATION,
        POLICY_VERSION,
        *created_window(),
    )
    filterset = ExecutionFilters
    nothing_yet = "No action has been executed. A work item that is ready takes them: open it in the queue."
    page_template = "workitems/execution.html"

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.executions(ctx).select_related("envelope", "integration_version__integration")

    def get_queryset(self, request: Any) -> QuerySet[Any]:
        return selectors.executions(request.acting_context).defer("input", "result", "failure_detail")

    def page_title(self, row: Execution) -> str:
        return f"execution of {row.action} on {row.integration}"

    def page(self, row: Execution, *, ctx: ActingContext) -> dict[str, Any]:
        item = selectors.work_item(row.work_item_id, ctx=ctx)
        status = ExecutionStatus(row.status)
        may_execute = item is not None and ctx.allows(Scope.ACTIONS_EXECUTE, workflow=item.workflow_version.workflow_id)
        return {
            "item": item,
            "sealed": orjson.loads(bytes(row.envelope.body)),
            "envelope_text": bytes(row.envelope.body).decode(),
            "attempts": Attempt.objects.filter(tenant_id=ctx.tenant_id, execution=row).order_by("-number"),
            "steps": DecisionStep.objects.filter(tenant_id=ctx.tenant_id, execution=row).order_by("-id"),
            "requested_by": User.objects.filter(id=row.requested_by).first(),
            "failure": REASONS.get(row.failure),
            "receiver_key": receiver_key(row.id),
            "may_cancel": may_execute
            and status in (ExecutionStatus.AWAITING_APPROVAL, ExecutionStatus.STARTED)
            and not row.attempts_made,
            "may_retry": may_execute
            and status is ExecutionStatus.FAILED
            and item is not None
            and item.status == WorkItemStatus.FAILED,
            "may_reconcile": may_execute and status is ExecutionStatus.OUTCOME_UNKNOWN,
        }

    @act(Scope.ACTIONS_EXECUTE)
    def cancel(self, call: Call) -> Done:
        item, execution = self._locked(call)
        cancel_execution(item, execution, ctx=call.ctx)
        return Done("The execution is cancelled.")

    @act(Scope.ACTIONS_EXECUTE)
    def retry(self, call: Call) -> Done:
        item, execution = self._locked(call)
        retry_execution(item, execution, ctx=call.ctx)
        return Done("It is tried again, with the envelope and the approval it has.")

    @act(Scope.ACTIONS_EXECUTE)
    def reconcile(self, call: Call) -> Done:
        """Say what came of it."""
        item, execution = self._locked(call)
        body = RECONCILE_EXECUTION.check({"outcome": call.sent("outcome"), "reason": call.sent("reason")})
        reconcile_execution(
            item, execution, succeeded=body["outcome"] == "succeeded", reason=body["reason"], ctx=call.ctx
        )
        return Done(f"The execution is {execution.status}.")

    def _locked(self, call: Call) -> tuple[WorkItem, Execution]:
        parsed = ids.parse_public_id(ids.EXECUTION, call.key)
        if parsed is None:
            raise errors.NotFound
        item, execution = locked_execution(parsed, ctx=call.ctx)
        call.subject = subject_of(item, execution=execution)
        return item, execution
