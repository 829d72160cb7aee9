"""The `workflow` connector: actions on the work item itself.

They are performed in the transaction that settles the execution.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations.documents import ActionDocument, IntegrationDocument, WorkflowCall
from integrations.documents.templates import render
from policies.language.approvals import parse_approvals, to_json


class WorkflowConnector:
    """Connector for `request_approval`, `assign` and `close`. It sends nothing; `settle` performs the request."""

    name = "workflow"

    def build_request(
        self, integration: IntegrationDocument, action: ActionDocument, facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return `{operation, question?, approvals?, to?}` with rendered expressions."""
        call = action.call
        if not isinstance(call, WorkflowCall):
            raise TypeError(f"{action.slug} is not an action of the workflow connector")
        request: dict[str, Any] = {"operation": call.operation}
        if call.question is not None:
            request["question"] = render(call.question, facts)
        if call.approvals is not None:
            request["approvals"] = to_json(parse_approvals(dict(call.approvals), pointer="/approvals"))
        if call.to is not None:
            request["to"] = render(call.to, facts)
        return request
