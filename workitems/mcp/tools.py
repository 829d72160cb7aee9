"""Tools of the MCP server. Each is one call of an API view. Imports no SDK."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from policies.api.policy_versions import PolicyVersionViewSet
from policies.api.trial_shapes import SIMULATE
from policies.api.workflows import WorkflowViewSet
from threada_site.api.shapes import SLUG, Shape, id_schema, shape
from threada_site.api.views import TenantView
from threada_site.kernel import ids
from workitems.api.items import WorkItemViewSet
from workitems.api.shapes import CREATE_WORK_ITEM, EXECUTE_ACTION
from workitems.lifecycle import WorkItemStatus
from workitems.mcp.calls import Answer, Caller
from workitems.mcp.submissions import SubmitWorkItem
from workitems.mcp.views import ExecuteByArguments, MyWork, WorkflowForAgents

KEY: Final = "idempotency_key"
_NAMED: Final = re.compile(r"\{([a-z_]+)\}")
_KEY_SCHEMA: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": "^[\\x21-\\x7e]+$",
    "description": "Send the same key to repeat a call after a failure, and a new one to do the same again.",
}
_ITEM_ID: Final = {**id_schema(ids.WORK_ITEM), "description": "Public id of a work item: wi_…"}
_STATUSES: Final = {
    "type": "array",
    "items": {"enum": [status.value for status in WorkItemStatus]},
    "description": "Statuses of which one matches.",
}
_PAGE: Final[dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 200, "description": "Rows of a page; 50 by default."},
    "cursor": {"type": "string", "description": "next_cursor of the page before."},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool: the view or the action of a viewset that it calls, by method and path, and the shape of its arguments.

    Arguments that the path names go there. Others are the query of a GET and the body of a POST.
    """

    name: str
    title: str
    description: str
    view: type[TenantView]
    method: str
    path: str
    arguments: Shape
    action: str = ""
    is_final: bool = field(default=False)
    """True if what it does cannot be taken back."""

    @property
    def only_reads(self) -> bool:
        return self.method == "GET" or self.action == "simulate"

    def call(
        self, arguments: Mapping[str, Any], caller: Caller, *, environment: Mapping[str, Any] | None = None
    ) -> Answer:
        """Call the view with arguments that have the shape."""
        rest = dict(arguments)
        key = rest.pop(KEY, None)
        named = {name: rest.pop(name) for name in _NAMED.findall(self.path)}
        path = self.path.format(**{name: quote(value, safe="") for name, value in named.items()})
        sent: dict[str, Any] = {"query": rest} if self.method == "GET" else {"body": rest, "key": key}
        return caller.call(self.view, self.method, path, action=self.action, environment=environment, **sent, **named)


def _with_key(of: Shape, **narrowed: Any) -> Shape:
    """Return the shape with a key. `narrowed`: schemas of members that fewer model APIs refuse."""
    properties = {**of.schema["properties"], **narrowed, KEY: _KEY_SCHEMA}
    return shape(properties, required=tuple(of.schema["required"]), example=of.example)


TOOLS: Final = {
    tool.name: tool
    for tool in (
        Tool(
            name="submit_work_item",
            title="Submit a work item",
            description=(
                "Submit a request as a work item of a workflow. Read the payload schema with get_workflow first. "
                "State why it is needed in evidence. Policies decide about it; people may have to review it. Without "
                "idempotency_key, equal arguments return the open work item of the last 24 hours."
            ),
            view=SubmitWorkItem,
            action="create",
            method="POST",
            path="/work-items",
            arguments=_with_key(CREATE_WORK_ITEM, channel_id=SLUG),
        ),
        Tool(
            name="execute_action",
            title="Request an action",
            description=(
                "Request an action of an integration on a work item. Policies allow it, deny it or ask people for "
                "approval: then status is awaiting_approval, and the action runs by itself once they approve. Only "
                "people can approve, in the console. Without idempotency_key, equal arguments return the existing "
                "execution, also a finished one; send a new idempotency_key only to do the same again."
            ),
            view=ExecuteByArguments,
            action="execute",
            method="POST",
            path="/actions/execute",
            arguments=_with_key(EXECUTE_ACTION),
            is_final=True,
        ),
        Tool(
            name="get_work_item",
            title="Read a work item",
            description="Read a work item with its payload, status and evidence.",
            view=WorkItemViewSet,
            action="retrieve",
            method="GET",
            path="/work-items/{work_item_id}",
            arguments=shape({"work_item_id": _ITEM_ID}, required=("work_item_id",)),
        ),
        Tool(
            name="explain_work_item",
            title="Explain a work item",
            description=(
                "Explain why a work item has its status, for whom it waits and until when, what comes next, and what "
                "the caller may do."
            ),
            view=WorkItemViewSet,
            action="explain",
            method="GET",
            path="/work-items/{work_item_id}/explain",
            arguments=shape({"work_item_id": _ITEM_ID}, required=("work_item_id",)),
        ),
        Tool(
            name="list_my_work",
            title="List own work items",
            description=(
                "List the work items that the caller requested, submitted or is assigned to, newest first: the open "
                "ones, or those with the statuses named."
            ),
            view=MyWork,
            method="GET",
            path="/work-items",
            arguments=shape({"workflow_id": SLUG, "status": _STATUSES, **_PAGE}),
        ),
        Tool(
            name="search_work_items",
            title="Search work items",
            description="Search the work items that the caller may read, newest first.",
            view=WorkItemViewSet,
            action="list",
            method="GET",
            path="/work-items",
            arguments=shape(
                {
                    "q": {
                        "type": "string",
                        "maxLength": 200,
                        "description": 'Words, "phrases", -excluded words and beginnings of ids; all match.',
                    },
                    "workflow_id": SLUG,
                    "channel_id": SLUG,
                    "status": _STATUSES,
                    "external_ref": {"type": "string", "maxLength": 255},
                    **_PAGE,
                }
            ),
        ),
        Tool(
            name="simulate_policy",
            title="Simulate a policy version",
            description=(
                "Evaluate a version of a policy on facts, together with every other policy that applies. Stores and "
                "starts nothing. Needs policies:write."
            ),
            view=PolicyVersionViewSet,
            action="simulate",
            method="POST",
            path="/policies/{policy_id}/versions/{version}/simulate",
            arguments=shape(
                {
                    "policy_id": SLUG,
                    "version": {"type": "string", "maxLength": 64, "description": "Number or public id: 3, pv_…"},
                    **SIMULATE.schema["properties"],
                },
                required=("policy_id", "version", "facts"),
            ),
        ),
        Tool(
            name="list_workflows",
            title="List workflows",
            description="List the workflows that the caller may read, with the actions that each allows.",
            view=WorkflowViewSet,
            action="list",
            method="GET",
            path="/workflows",
            arguments=shape(_PAGE),
        ),
        Tool(
            name="get_workflow",
            title="Read a workflow",
            description=(
                "Read a workflow: payload schema, actions, channels, and the integrations that offer these actions "
                "with their input schemas."
            ),
            view=WorkflowForAgents,
            method="GET",
            path="/workflows/{workflow_id}",
            arguments=shape({"workflow_id": SLUG}, required=("workflow_id",)),
        ),
    )
}
