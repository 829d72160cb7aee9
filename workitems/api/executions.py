"""`/executions`: governed runs of actions, their retries and their undoing."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.response import Response

from integrations.lifecycle import EXECUTION as EXECUTION_LIFECYCLE
from integrations.models import Attempt, Execution
from threada_site.api.conditional_requests.waiting import wait_for_change
from threada_site.api.filters import order_of
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.views import path_id
from threada_site.api.viewsets import TenantViewSet, listing, verb
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.waits import Awaited, Watched
from workitems import selectors
from workitems.api.actions import earlier_request_under, repeated_action, started_action
from workitems.api.filters import ExecutionFilters
from workitems.api.resources.executions import (
    ACTION_ACCEPTED,
    DEAD_LETTERS_RETRIED,
    EXECUTION,
    EXECUTION_WITH_ATTEMPTS,
)
from workitems.api.shapes import RECONCILE_EXECUTION, RETRY_DEAD_LETTERS, UNDO_EXECUTION
from workitems.executions.dead_letters import Criteria, retry_dead_letters, retry_executions
from workitems.executions.operator_actions import cancel_execution, reconcile_execution, retry_execution
from workitems.executions.request_action import ActionRequest
from workitems.executions.undo import undo_of
from workitems.items.locks import locked_execution
from workitems.items.receipts import subject_of
from workitems.items.sensitive import is_sensitive, listed, record_reading, with_data_class
from workitems.models import WorkItem


class ExecutionViewSet(TenantViewSet):
    id_prefix = ids.EXECUTION
    lookup_url_kwarg = "execution_id"
    tag = "Executions"

    def get_queryset(self) -> QuerySet[Execution]:
        return selectors.executions(self.request.auth)

    def represent(self, row: Any) -> dict[str, Any]:
        return EXECUTION.represent(listed(row, row.data_class))

    @listing("listExecutions", "List executions", EXECUTION, scope=Scope.WORKITEMS_READ, filters=ExecutionFilters)
    def list(self, request: Any) -> Response:
        rows = self.filter_queryset(self.get_queryset())
        return self.page(with_data_class(rows.select_related("envelope")), order=order_of(ExecutionFilters, request))

    @operation(
        "readExecution",
        "Read an execution with its attempts",
        scope=Scope.WORKITEMS_READ,
        answers={200: EXECUTION_WITH_ATTEMPTS},
        can_wait=True,
    )
    def retrieve(self, request: Any, execution_id: str) -> Response:
        shown = shown_execution(self.row_id, ctx=request.auth)
        waited = wait_for_change(
            request,
            Watched(Awaited.EXECUTION, self.row_id, request.auth.tenant_id, frozenset({shown["status"]})),
            is_final=shown["status"] in EXECUTION_LIFECYCLE.ends,
        )
        return Response(shown, headers=waited)

    @verb(
        "cancelExecution",
        "Cancel an execution before it is sent",
        scope=Scope.ACTIONS_EXECUTE,
        answers={200: EXECUTION_WITH_ATTEMPTS},
        reasons=("execution_not_cancellable",),
    )
    def cancel(self, request: Any, execution_id: str) -> Response:
        item, execution = self._locked()
        cancel_execution(item, execution, ctx=request.auth)
        return Response(shown_execution(execution.id, ctx=request.auth))

    @verb(
        "retryExecution",
        "Retry a failed execution",
        scope=Scope.ACTIONS_EXECUTE,
        answers={202: EXECUTION_WITH_ATTEMPTS},
        headers=("Retry-After",),
        reasons=("execution_not_retryable",),
    )
    def retry(self, request: Any, execution_id: str) -> Response:
        item, execution = self._locked()
        retry_execution(item, execution, ctx=request.auth)
        return Response(shown_execution(execution.id, ctx=request.auth), status=202, headers={"Retry-After": "1"})

    @verb(
        "replayExecutions",
        "Retry dead letters",
        detail=False,
        scope=Scope.ACTIONS_EXECUTE,
        body=RETRY_DEAD_LETTERS,
        answers={202: DEAD_LETTERS_RETRIED},
        headers=("Retry-After",),
    )
    def replays(self, request: Any, body: dict[str, Any]) -> Response:
        """Retry dead letters by id or by kind.

        Each is retried as by `/executions/{id}/retry`: with its envelope and its approval. The policies in force are
        evaluated again right before the call. A refusal of one does not affect the others.
        """
        criteria = Criteria(
            workflow=body.get("workflow_id", ""),
            integration=body.get("integration_id", ""),
            action=body.get("action_id", ""),
            failure=body.get("failure", ""),
        )
        named_ids = body.get("execution_ids")
        if named_ids is not None and len(body) > 1:
            mixed = FieldError("/execution_ids", "cannot be combined with other members", "invalid")
            raise errors.InvalidRequest("Select executions by ids or by kind, not both.", errors=[mixed])
        if named_ids is not None:
            done = retry_executions([path_id(ids.EXECUTION, text) for text in named_ids], ctx=request.auth)
        else:
            done = retry_dead_letters(criteria, limit=body.get("limit", 200), ctx=request.auth)
        return Response(DEAD_LETTERS_RETRIED.represent(done), status=202, headers={"Retry-After": "1"})

    @verb(
        "reconcileExecution",
        "Record the outcome of an execution with an unknown outcome",
        scope=Scope.ACTIONS_EXECUTE,
        body=RECONCILE_EXECUTION,
        answers={200: EXECUTION_WITH_ATTEMPTS},
        reasons=(
            "execution_not_reconcilable",
            "person_required",
            "vote_authentication_required",
            "second_person_required",
        ),
    )
    def reconcile(self, request: Any, execution_id: str, body: dict[str, Any]) -> Response:
        item, execution = self._locked()
        reconcile_execution(
            item, execution, succeeded=body["outcome"] == "succeeded", reason=body["reason"], ctx=request.auth
        )
        return Response(shown_execution(execution.id, ctx=request.auth))

    @action(detail=True, methods=["post"])
    @operation(
        "undoExecution",
        "Undo an execution",
        scope=Scope.ACTIONS_EXECUTE,
        body=UNDO_EXECUTION,
        answers={202: ACTION_ACCEPTED},
        headers=("Location", "Retry-After"),
        reasons=(
            "execution_not_undoable",
            "unknown_integration",
            "unknown_action",
            "action_not_allowed",
            "policy_denied",
            "review_pending",
            "approval_pending",
            "execution_in_progress",
            "transition_not_allowed",
            "expression_failed",
            "contents_removed",
        ),
    )
    @idempotent
    def undo(self, request: Any, execution_id: str) -> Response:
        """Execute the undo action that is configured for the action of the execution.

        Policies, approvals, envelope and receipts apply as to any action. The work item may be closed; its status
        does not change.
        """
        earlier = earlier_request_under(self, request)
        body = UNDO_EXECUTION.check(request.data)
        if earlier is not None:
            is_same = earlier.execution.undoes_id == self.row_id
            return repeated_action(earlier, input_=body.get("input", {}), is_same=is_same)
        item, execution = self._locked()
        undo = undo_of(execution)
        if undo is None:
            raise errors.ExecutionNotUndoable
        asked = ActionRequest(
            integration=execution.integration,
            action=undo,
            input=body.get("input", {}),
            idempotency_key=request.META.get("HTTP_IDEMPOTENCY_KEY"),
            undoes=execution.id,
        )
        response, _ = started_action(item, asked, ctx=request.auth)
        return response

    def _locked(self) -> tuple[WorkItem, Execution]:
        """Lock the execution of the path and its work item, the subject of a refusal. Raise `NotFound`."""
        item, execution = locked_execution(self.row_id, ctx=self.request.auth)
        self.subject = subject_of(item, execution=execution)
        return item, execution


def shown_execution(execution_id: Any, *, ctx: ActingContext) -> dict[str, Any]:
    """Return the representation of one execution with its attempts. Raise `NotFound`."""
    rows = with_data_class(selectors.executions(ctx).filter(id=execution_id).select_related("envelope"))
    execution = rows.first()
    if execution is None:
        raise errors.NotFound
    if is_sensitive(execution.data_class):
        item = WorkItem.objects.get(tenant_id=ctx.tenant_id, id=execution.work_item_id)
        record_reading(item, ctx=ctx, execution=execution)
    attempts = Attempt.objects.filter(tenant_id=ctx.tenant_id, execution=execution).order_by("number")
    return EXECUTION_WITH_ATTEMPTS.represent(execution, attempts=attempts)
