"""`/actions/execute`: requests for governed runs of actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from rest_framework.decorators import action
from rest_framework.response import Response

from integrations.lifecycle import ExecutionStatus
from integrations.models import Execution
from telemetry.api.promises import receipt_promise
from telemetry.receipts.collection import collecting_receipts
from threada_site.api.conditional_requests.waiting import resumed_by, wait_for_change
from threada_site.api.idempotency import REPLAYED, KeyReservation, idempotent, stored_answer
from threada_site.api.models import IdempotencyRecord
from threada_site.api.operations import operation
from threada_site.api.views import TenantView, path_id
from threada_site.api.viewsets import TenantViewSet
from threada_site.database.sets.shared_reads import shared_reads
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.kernel.waits import Awaited, Watched, preferred_wait
from workitems import selectors
from workitems.api.resources.executions import ACTION_ACCEPTED
from workitems.api.shapes import EXECUTE_ACTION
from workitems.executions.repeated_request import EarlierRequest, earlier_request, key_reused, own_request
from workitems.executions.request_action import ActionRequest, ActionStarted, execute_action
from workitems.items.locks import locked_item
from workitems.items.receipts import subject_of
from workitems.items.sensitive import record_reading
from workitems.models import WorkItem

_IN_PROGRESS: Final = frozenset({ExecutionStatus.STARTED.value, ExecutionStatus.RUNNING.value})
_ASK_AGAIN: Final = {"Retry-After": "1"}


class ActionViewSet(TenantViewSet):
    tag = "Executions"

    @action(detail=False, methods=["post"])
    @operation(
        "executeAction",
        "Execute an action on a work item",
        scope=Scope.ACTIONS_EXECUTE,
        body=EXECUTE_ACTION,
        answers={200: ACTION_ACCEPTED, 202: ACTION_ACCEPTED},
        can_wait=True,
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
    @resumed_by("answer_after_wait")
    @idempotent
    def execute(self, request: Any) -> Response:
        """Request the execution of an action.

        If a policy denies the action or has refused the work item, the answer is `policy_denied` with the reason codes
        and messages of the rules. Each further action on a refused work item gets the same answer.

        With `Prefer: wait=…`, an action that needs no approval is answered with 200 when its execution has ended: the
        worker makes the call meanwhile. If it has not ended in time, the answer is 202 and the execution goes on.

        A repeated request with the same `Idempotency-Key` and body gets the first answer for 24 hours, and after that
        the current state of the execution, as long as it exists. With `Prefer: wait=…` it waits for the same execution.
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
        reservation = self.key_reservation

        def remember(execution: Execution, response: Response) -> None:
            # A generated key works like one that was sent: the call can be repeated with it.
            key, digest = execution.idempotency_key, canonical_sha256
            (reservation or KeyReservation(request.auth, request.path, key, digest(request.data))).remember(response)

        response, execution = started_action(item, asked, ctx=request.auth, remember=remember)
        self.key_reservation = None
        wait_for_end(request, execution)
        return response

    def replayed(self, request: Any, record: IdempotencyRecord) -> Any:
        """Wait for the end of the execution that the first request has started, if the repetition asks for that."""
        if record.status == 202 and preferred_wait(request.META.get("HTTP_PREFER", "")):
            earlier = earlier_request_under(self, request)
            if earlier is not None:
                response = state_of(earlier, request=request)
                response.headers[REPLAYED] = "true"
                return response
        return super().replayed(request, record)

    def answer_after_wait(self, request: Any, watched: Watched) -> Response:
        """Return the state of the execution after a wait. Credential and permissions are checked like before."""
        earlier = own_request(watched.id, ctx=request.auth)
        self.subject = subject_of(earlier.item, execution=earlier.execution)
        earlier.check_permitted(ctx=request.auth)
        return state_of(earlier, request=request)


def started_action(
    item: WorkItem,
    asked: ActionRequest,
    *,
    ctx: ActingContext,
    remember: Callable[[Execution, Response], None] | None = None,
) -> tuple[Response, Execution]:
    """Start an action. Return the response, with the inclusion promise for its receipts, and the execution.

    The item is locked. `remember` stores the response under the idempotency key, together with the execution. What the
    decision at intake has read is not read again for that about the action.
    """
    ctx = collecting_receipts(ctx)
    responses = []

    def also_write(started: ActionStarted) -> None:
        responses.append(_accepted(started, item=item, receipt_promise=receipt_promise(ctx)))
        if remember is not None:
            remember(started.execution, responses[0])

    with shared_reads():
        started = execute_action(item, asked, ctx=ctx, also_write=also_write)
    return responses[0], started.execution


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


def wait_for_end(request: Any, execution: Execution) -> dict[str, str]:
    """Let the server hold the request while the execution runs. Return the headers of the answer.

    Nothing is waited for while people have to decide.
    """
    if execution.status == ExecutionStatus.AWAITING_APPROVAL:
        return {}
    watched = Watched(Awaited.EXECUTION, execution.id, execution.tenant_id, _IN_PROGRESS)
    return wait_for_change(request, watched, is_final=execution.status not in _IN_PROGRESS)


def state_of(earlier: EarlierRequest, *, request: Any) -> Response:
    """Return the answer about an execution that was waited for: 200 if it has ended, or its outcome is unknown.

    The result is shown to whoever may read the execution, and reading it leaves a receipt if the case is sensitive.
    """
    item, execution, ctx = earlier.item, earlier.execution, request.auth
    waited = wait_for_end(request, execution)
    has_ended = execution.status not in (*_IN_PROGRESS, ExecutionStatus.AWAITING_APPROVAL)
    shows_result = has_ended and selectors.executions(ctx).filter(id=execution.id).exists()
    if shows_result:
        record_reading(item, ctx=ctx, execution=execution)
    promise = None
    if settings.THREADA_INCLUSION_PROMISES:
        promise = stored_answer(ctx, request.path, execution.idempotency_key).get("receipt_promise")
    answer = _represented(earlier, item=item, receipt_promise=promise, shows_result=shows_result)
    headers = {**_location(execution), **({} if has_ended else _ASK_AGAIN), **waited}
    return Response(answer, status=200 if has_ended else 202, headers=headers)


def _accepted(
    accepted: ActionStarted | EarlierRequest, *, item: WorkItem, receipt_promise: dict[str, Any] | None
) -> Response:
    answer = _represented(accepted, item=item, receipt_promise=receipt_promise)
    return Response(answer, status=202, headers={**_location(accepted.execution), **_ASK_AGAIN})


def _represented(
    accepted: ActionStarted | EarlierRequest,
    *,
    item: WorkItem,
    receipt_promise: dict[str, Any] | None,
    shows_result: bool = False,
) -> dict[str, Any]:
    execution = accepted.execution
    return ACTION_ACCEPTED.represent(
        accepted,
        item=item,
        failure=execution.failure if shows_result else None,
        result=execution.result if shows_result else None,
        receipt_promise=receipt_promise,
    )


def _location(execution: Execution) -> dict[str, str]:
    return {"Location": f"/executions/{execution.public_id}"}


def _item_named(text: str, *, ctx: ActingContext) -> WorkItem:
    """Return the locked work item that a body names.

    Raise the same `NotFound` for an ill-formed id and for the id of another tenant.
    """
    try:
        return locked_item(path_id(ids.WORK_ITEM, text), ctx=ctx)
    except errors.NotFound:
        unknown = FieldError("/work_item_id", "is not a work item of this tenant", "unknown")
        raise errors.NotFound("There is no such work item in this tenant.", errors=[unknown]) from None
