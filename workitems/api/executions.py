"""`/executions`: governed runs of actions."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from integrations.lifecycle import EXECUTION as EXECUTION_LIFECYCLE
from integrations.models import Attempt, Execution
from threada_site.api.conditional_requests.waiting import wait_for_change
from threada_site.api.filters import apply_filters, order_of
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import page_of
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.waits import Awaited, Watched
from workitems import selectors
from workitems.api.filters import ExecutionFilters
from workitems.api.resources.executions import EXECUTION, EXECUTION_WITH_ATTEMPTS
from workitems.api.shapes import RECONCILE_EXECUTION
from workitems.executions.operator_actions import cancel_execution, reconcile_execution, retry_execution
from workitems.items.locks import locked_execution
from workitems.items.receipts import subject_of
from workitems.items.sensitive import is_sensitive, listed, record_reading, with_data_class
from workitems.models import WorkItem


class Executions(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation(
        "listExecutions",
        "List executions",
        tag="Executions",
        answers={200: page_of(EXECUTION)},
        filters=ExecutionFilters,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        rows = apply_filters(ExecutionFilters, selectors.executions(request.auth), request)
        return Response(
            paginate(
                with_data_class(rows.select_related("envelope")),
                request,
                represent=lambda execution: EXECUTION.represent(listed(execution, execution.data_class)),
                order=order_of(ExecutionFilters, request),
            )
        )


class ExecutionDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation(
        "readExecution",
        "Read an execution with its attempts",
        tag="Executions",
        answers={200: EXECUTION_WITH_ATTEMPTS},
        can_wait=True,
    )
    def get(self, request: Any, execution_id: str) -> Response:
        found_id = path_id(ids.EXECUTION, execution_id)
        shown = shown_execution(found_id, ctx=request.auth)
        waited = wait_for_change(
            request,
            Watched(Awaited.EXECUTION, found_id, request.auth.tenant_id, frozenset({shown["status"]})),
            is_final=shown["status"] in EXECUTION_LIFECYCLE.ends,
        )
        return Response(shown, headers=waited)


class CancelExecution(TenantView):
    scopes: ClassVar = {"POST": Scope.ACTIONS_EXECUTE}

    @operation(
        "cancelExecution",
        "Cancel an execution before it is sent",
        tag="Executions",
        body=EMPTY,
        answers={200: EXECUTION_WITH_ATTEMPTS},
        reasons=("execution_not_cancellable",),
    )
    @idempotent
    def post(self, request: Any, execution_id: str) -> Response:
        EMPTY.check(request.data)
        item, execution = _locked(self, request, execution_id)
        cancel_execution(item, execution, ctx=request.auth)
        return Response(shown_execution(execution.id, ctx=request.auth))


class RetryExecution(TenantView):
    scopes: ClassVar = {"POST": Scope.ACTIONS_EXECUTE}

    @operation(
        "retryExecution",
        "Retry a failed execution",
        tag="Executions",
        body=EMPTY,
        answers={202: EXECUTION_WITH_ATTEMPTS},
        headers=("Retry-After",),
        reasons=("execution_not_retryable",),
    )
    @idempotent
    def post(self, request: Any, execution_id: str) -> Response:
        EMPTY.check(request.data)
        item, execution = _locked(self, request, execution_id)
        retry_execution(item, execution, ctx=request.auth)
        return Response(shown_execution(execution.id, ctx=request.auth), status=202, headers={"Retry-After": "1"})


class ReconcileExecution(TenantView):
    scopes: ClassVar = {"POST": Scope.ACTIONS_EXECUTE}

    @operation(
        "reconcileExecution",
        "Record the outcome of an execution with an unknown outcome",
        tag="Executions",
        body=RECONCILE_EXECUTION,
        answers={200: EXECUTION_WITH_ATTEMPTS},
        reasons=(
            "execution_not_reconcilable",
            "person_required",
            "vote_authentication_required",
            "second_person_required",
        ),
    )
    @idempotent
    def post(self, request: Any, execution_id: str) -> Response:
        body = RECONCILE_EXECUTION.check(request.data)
        item, execution = _locked(self, request, execution_id)
        reconcile_execution(
            item, execution, succeeded=body["outcome"] == "succeeded", reason=body["reason"], ctx=request.auth
        )
        return Response(shown_execution(execution.id, ctx=request.auth))


def _locked(view: TenantView, request: Any, execution_id: str) -> tuple[WorkItem, Execution]:
    """Lock the execution of the path and its work item, and make them the subject of a refusal. Raise `NotFound`."""
    item, execution = locked_execution(path_id(ids.EXECUTION, execution_id), ctx=request.auth)
    view.subject = subject_of(item, execution=execution)
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
