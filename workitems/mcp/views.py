"""Views that only the MCP server calls: what no address of the API offers in this form."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework.response import Response

from integrations.models import Action, Integration
from integrations.selectors import readable_integrations
from policies.api.resources.workflows import WORKFLOW
from policies.selectors import channels, workflow_by_slug
from threada_site.api.filters import apply_filters
from threada_site.api.pagination import paginate
from threada_site.api.resources.field_types import rfc3339
from threada_site.api.views import TenantView, path_id, path_slug
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from workitems import selectors
from workitems.api.actions import ActionViewSet, repeated_action
from workitems.api.executions import shown_execution
from workitems.api.filters import WorkItemFilters
from workitems.api.resources.work_items import EXPLANATION, WORK_ITEM
from workitems.api.shapes import EXECUTE_ACTION
from workitems.executions.equal_request import equal_request
from workitems.explain.gather import explanation_with_waits
from workitems.items.locks import locked_item
from workitems.items.receipts import subject_of
from workitems.items.sensitive import listed
from workitems.lifecycle import WORK_ITEM as LIFECYCLE
from workitems.lifecycle import WorkItemStatus
from workitems.mcp.tool_calls import gateway_of
from workitems.models import Party, WorkItem

REFUSAL: Final = "threada.mcp_refusal"
"""Key of the WSGI environment: the refusal to raise once the caller is known."""
OPEN_STATUSES: Final = [status.value for status in WorkItemStatus if status not in LIFECYCLE.ends]


class Connection(TenantView):
    """Authentication of a request that calls no tool. Raises the refusal that the environment contains.

    Raises `NotFound` for a gateway without an integration.
    """

    scopes: ClassVar = {"POST": None}

    def post(self, request: Any, integration_id: str | None = None) -> Response:
        if integration_id is not None:
            gateway_of(integration_id, ctx=request.auth)
        refusal: errors.ThreadaError | None = request.META.get(REFUSAL)
        if refusal is not None:
            raise refusal
        return Response({})


class ExecuteByArguments(ActionViewSet):
    """Execution of an action. Without a key, equal arguments return the existing execution, also a finished one."""

    def execute(self, request: Any) -> Any:  # type: ignore[override]  # mypy sees the attribute that `action` made
        if "HTTP_IDEMPOTENCY_KEY" not in request.META:
            body = EXECUTE_ACTION.check(request.data)
            item_id = ids.parse_public_id(ids.WORK_ITEM, body["work_item_id"])
            item = _lockable_item(item_id, ctx=request.auth)
            input_ = body.get("input", {})
            asked = {"integration": body["integration_id"], "action": body["action_id"], "input_": input_}
            earlier = equal_request(item, **asked, ctx=request.auth) if item is not None else None
            if earlier is not None:
                self.subject = subject_of(earlier.item, execution=earlier.execution)
                earlier.check_permitted(ctx=request.auth)
                return repeated_action(earlier, input_=input_, is_same=True)
        return super().execute(request)


class MyWork(TenantView):
    """Open work items that the caller requested, submitted or is assigned to; others by `status`."""

    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    def get(self, request: Any) -> Response:
        ctx = request.auth
        own = Party.objects.filter(tenant_id=ctx.tenant_id, principal_id=ctx.principal_id)
        rows = apply_filters(WorkItemFilters, selectors.work_items(ctx), request)
        rows = rows.filter(id__in=own.values("work_item_id"))
        if "status" not in request.query_params:
            rows = rows.filter(status__in=OPEN_STATUSES)
        return Response(
            paginate(rows, request, represent=lambda item: WORK_ITEM.represent(listed(item, item.data_class)))
        )


class WorkflowForAgents(TenantView):
    """A workflow with all that a request for it names: payload schema, channels, integrations and their actions."""

    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    def get(self, request: Any, workflow_id: str) -> Response:
        ctx = request.auth
        workflow = workflow_by_slug(path_slug(workflow_id), ctx=ctx)
        if workflow is None:
            raise errors.NotFound
        shown = WORKFLOW.represent_whole(workflow)
        names = [channel.slug for channel in channels(ctx).order_by("slug")]
        return Response(
            {
                **shown,
                "channel_ids": names,
                "integrations": _integrations_with(shown["actions"], ctx=ctx),
            }
        )


class TaskState(TenantView):
    """An execution with the explanation of its work item."""

    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    def get(self, request: Any, execution_id: str) -> Response:
        ctx = request.auth
        shown = shown_execution(path_id(ids.EXECUTION, execution_id), ctx=ctx)
        item = selectors.work_item(path_id(ids.WORK_ITEM, shown["work_item_id"]), ctx=ctx)
        if item is None:
            raise errors.NotFound
        explanation, waits = explanation_with_waits(item, ctx=ctx)
        explained = EXPLANATION.represent(explanation, work_item_id=item.id, status=item.status, waits=waits)
        return Response({"execution": shown, "explanation": explained, "updated_at": rfc3339(item.updated_at)})


def _lockable_item(item_id: Any, *, ctx: ActingContext) -> WorkItem | None:
    try:
        return locked_item(item_id, ctx=ctx) if item_id is not None else None
    except errors.NotFound:
        return None


def _integrations_with(actions: list[str], *, ctx: ActingContext) -> list[dict[str, Any]]:
    """Return the integrations that have some of `actions`, each with these actions and their input schemas."""
    rows = list(readable_integrations(ctx).filter(current_version__isnull=False).order_by("slug"))
    by_version: dict[Any, list[Action]] = {}
    versions = [row.current_version_id for row in rows]
    found = Action.objects.filter(tenant_id=ctx.tenant_id, integration_version_id__in=versions, slug__in=actions)
    for action in found.order_by("slug"):
        by_version.setdefault(action.integration_version_id, []).append(action)
    return [
        _integration(row, by_version[row.current_version_id]) for row in rows if row.current_version_id in by_version
    ]


def _integration(row: Integration, actions: list[Action]) -> dict[str, Any]:
    return {
        "integration_id": row.slug,
        "name": row.name or None,
        "actions": [{"action_id": action.slug, "input_schema": action.spec.get("input_schema")} for action in actions],
    }
