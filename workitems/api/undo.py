"""Endpoint `/executions/{id}/undo`: undo a succeeded execution."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from workitems.api.actions import earlier_request_under, repeated_action, started_action
from workitems.api.resources.executions import ACTION_ACCEPTED
from workitems.api.shapes import UNDO_EXECUTION
from workitems.executions.request_action import ActionRequest
from workitems.executions.undo import undo_of
from workitems.items.locks import locked_execution
from workitems.items.receipts import subject_of


class UndoExecution(TenantView):
    scopes: ClassVar = {"POST": Scope.ACTIONS_EXECUTE}

    @operation(
        "undoExecution",
        "Undo an execution",
        tag="Executions",
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
    def post(self, request: Any, execution_id: str) -> Response:
        """Execute the undo action that is configured for the action of the execution.

        Policies, approvals, envelope and receipts apply as to any action. The work item may be closed; its status
        does not change.
        """
        earlier = earlier_request_under(self, request)
        body = UNDO_EXECUTION.check(request.data)
        if earlier is not None:
            undone = path_id(ids.EXECUTION, execution_id)
            return repeated_action(earlier, input_=body.get("input", {}), is_same=earlier.execution.undoes_id == undone)
        item, execution = locked_execution(path_id(ids.EXECUTION, execution_id), ctx=request.auth)
        self.subject = subject_of(item, execution=execution)
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
