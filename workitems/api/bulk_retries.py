"""Endpoint `/executions/replays`: retry several dead letters."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.response import Response

from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import FieldError
from workitems.api.resources.executions import DEAD_LETTERS_RETRIED
from workitems.api.shapes import RETRY_DEAD_LETTERS
from workitems.executions.dead_letters import Criteria, retry_dead_letters, retry_executions


class RetryDeadLetters(TenantView):
    scopes: ClassVar = {"POST": Scope.ACTIONS_EXECUTE}

    @operation(
        "replayExecutions",
        "Retry dead letters",
        tag="Executions",
        body=RETRY_DEAD_LETTERS,
        answers={202: DEAD_LETTERS_RETRIED},
        headers=("Retry-After",),
    )
    @idempotent
    def post(self, request: Any) -> Response:
        """Retry dead letters by id or by kind.

        Each is retried as by `/executions/{id}/retry`: with its envelope and its approval. The policies in force are
        evaluated again right before the call. A refusal of one does not affect the others.
        """
        body = RETRY_DEAD_LETTERS.check(request.data)
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
        answer = DEAD_LETTERS_RETRIED.represent(done)
        return Response(answer, status=202, headers={"Retry-After": "1"})
