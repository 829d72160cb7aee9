"""`/actions/execute` and `/executions`: governed runs of actions."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from integrations.lifecycle import EXECUTION as EXECUTION_LIFECYCLE
from integrations.models import Attempt, Execution
from telemetry.api.promises import receipt_promise
from telemetry.receipts.collection import collecting_receipts
from threada_site.api.conditional_requests.waiting import wait_for_change
from threada_site.api.filters import apply_filters, order_of
from threada_site.api.idempotency import REPLAYED, KeyReservation, idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.resources.resource import page_of
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.kernel.waits import Awaited, Watched
from workitems import selectors
from workitems.api.filters import ExecutionFilters
from workitems.api.resources.executions import ACTION_ACCEPTED, EXECUTION, EXECUTION_WITH_ATTEMPTS
from workitems.api.shapes import EXECUTE_ACTION, RECONCILE_EXECUTION
from workitems.executions.operator_actions import cancel_execution, reconcile_execution, retry_execution
from workitems.executions.repeated_request import EarlierRequest, earlier_request, key_reused
from workitems.executions.request_action import ActionRequest, ActionStarted, execute_action
from workitems.items.locks import locked_execution, locked_item
from workitems.items.receipts import subject_of
from workitems.items.sensitive import is_sensitive, listed, record_reading, with_data_class
from workitems.models import WorkItem


class ExecuteAction(TenantView):
    scopes: ClassVar = {"POST": Scope.ACTIONS_EXECUTE}

    @operation(
        "executeAction",
        "Execute an action on a work item",
        tag="Executions",
        body=EXECUTE_ACTION,
        answers={202: ACTION_ACCEPTED},
        headers=("Location", "Retry-After"),
        reasons=(
            "not_found",
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
    def post(self, request: Any) -> Response:
        """Request the execution of an action.

        A repeated request with the same `Idempotency-Key` and body gets the first answer for 24 hours, and after that
        the current state of the execution, as long as it exists.
        """
        earlier = earlier_request_under(self, request)
        body = EXECUTE_ACTION.check(request.data)
        if earlier is not None:
            return repeated_action(
                earlier,
                input_=body.get("input", {}),
                is_same=(
                    ids.parse_public_id(ids.WORK_ITEM, body["work_item_id"]) == earlier.item.id
                    and body["integration_id"] == earlier.execution.integration
                    and body["action_id"] == earlier.execution.action
                ),
            )
        item = _item_named(body["work_item_id"], ctx=request.auth)
        self.subject = subject_of(item)
        asked = ActionRequest(
            integration=body["integration_id"],
            action=body["action_id"],
            input=body.get("input", {}),
            idempotency_key=request.META.get("HTTP_IDEMPOTENCY_KEY"),
        )
        response, execution = started_action(item, asked, ctx=request.auth)
        if "HTTP_IDEMPOTENCY_KEY" not in request.META:
            # A generated key works like one that was sent: the call can be repeated with it.
            KeyReservation(
                request.auth, request.path, execution.idempotency_key, canonical_sha256(request.data)
            ).remember(response)
        return response


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
            Watched(Awaited.EXECUTION, found_id, request.auth.tenant_id, shown["status"]),
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
        item, execution = locked_execution(path_id(ids.EXECUTION, execution_id), ctx=request.auth)
        self.subject = subject_of(item, execution=execution)
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
        item, execution = locked_execution(path_id(ids.EXECUTION, execution_id), ctx=request.auth)
        self.subject = subject_of(item, execution=execution)
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
        reasons=("execution_not_reconcilable", "person_required", "second_person_required"),
    )
    @idempotent
    def post(self, request: Any, execution_id: str) -> Response:
        body = RECONCILE_EXECUTION.check(request.data)
        item, execution = locked_execution(path_id(ids.EXECUTION, execution_id), ctx=request.auth)
        self.subject = subject_of(item, execution=execution)
        reconcile_execution(
            item, execution, succeeded=body["outcome"] == "succeeded", reason=body["reason"], ctx=request.auth
        )
        return Response(shown_execution(execution.id, ctx=request.auth))


def started_action(item: WorkItem, asked: ActionRequest, *, ctx: ActingContext) -> tuple[Response, Execution]:
    """Start an action. Return the response, with the inclusion promise for its receipts, and the execution."""
    ctx = collecting_receipts(ctx)
    started = execute_action(item, asked, ctx=ctx)
    return _accepted(started, item=item, receipt_promise=receipt_promise(ctx)), started.execution


def earlier_request_under(view: TenantView, request: Any) -> EarlierRequest | None:
    """Return the request of the same principal that has created an execution under the same key, or None.

    If there is one, nothing is stored under the key: each repetition is compared with the execution itself.
    """
    earlier = earlier_request(request.META.get("HTTP_IDEMPOTENCY_KEY"), ctx=request.auth)
    if earlier is not None:
        view.key_reservation = None
        view.subject = subject_of(earlier.item, execution=earlier.execution)
        earlier.check_permitted(ctx=request.auth)
    return earlier


def repeated_action(earlier: EarlierRequest, *, input_: dict[str, Any], is_same: bool) -> Response:
    """Return the answer to a repeated request: the current state of the execution. Raise `IdempotencyKeyReused`."""
    if not is_same:
        raise key_reused()
    earlier.check_same_input(input_)
    response = _accepted(earlier, item=earlier.item, receipt_promise=None)
    response.headers[REPLAYED] = "true"
    return response


def _accepted(
    accepted: ActionStarted | EarlierRequest, *, item: WorkItem, receipt_promise: dict[str, Any] | None
) -> Response:
    answer = ACTION_ACCEPTED.represent(accepted, item=item, receipt_promise=receipt_promise)
    execution = accepted.execution
    headers = {"Location": f"/executions/{execution.public_id}", "Retry-After": "1"}
    return Response(answer, status=202, headers=headers)


def _item_named(text: str, *, ctx: ActingContext) -> WorkItem:
    """Return the locked work item that a body names.

    Raise the same `NotFound` for an ill-formed id and for the id of another tenant.
    """
    try:
        return locked_item(path_id(ids.WORK_ITEM, text), ctx=ctx)
    except errors.NotFound:
        unknown = FieldError("/work_item_id", "is not a work item of this tenant", "unknown")
        raise errors.NotFound("There is no such work item in this tenant.", errors=[unknown]) from None


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
