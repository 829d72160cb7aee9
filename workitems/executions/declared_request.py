"""Execution of the action that a workflow declares for requests (`request`), by the person who submits the work item.

The declaration replaces `actions:execute`: whoever may create work items of the workflow may execute this action, on
this integration, with this input, once per work item. Nothing of it comes from the caller. Policies and approvals apply
as to every other execution.
"""

from __future__ import annotations

from integrations import selectors as integration_selectors
from policies.documents.workflow_request import RequestDeclaration
from policies.selectors import requester_groups, workflow_document
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.templates import render
from workitems.executions.build_envelope import action_facts, configured_action
from workitems.executions.request_action import ActionRequest, ActionStarted, execute_configured
from workitems.items.actors import actor_in
from workitems.models import WorkItem


def execute_declared(item: WorkItem, *, key: str | None = None, ctx: ActingContext) -> ActionStarted:
    """Execute the declared action on a locked item that the acting person submitted.

    Raise the errors of `execute_action`, `PermissionDenied` without `workitems:write` on the workflow,
    `ActionNotAllowed` if the workflow version of the item declares no request, or the item came in by another channel
    or for somebody else, and `ExecutionInProgress` if the item had an execution before.
    """
    require_unit_of_work(ctx.tenant_id)
    declared = _permitted_declaration(item, ctx=ctx)
    integration = integration_selectors.integration_by_slug(declared.integration, ctx=ctx)
    configured = configured_action(item, integration, named=declared.integration, action=declared.action, ctx=ctx)
    facts = action_facts(
        item,
        action=declared.action,
        integration=declared.integration,
        actor=actor_in(ctx),
        input_={},
        requester_groups=requester_groups(item.requester_id, tenant_id=item.tenant_id),
    )
    request = ActionRequest(
        integration=declared.integration,
        action=declared.action,
        input=render(declared.input_template(), facts),
        idempotency_key=key,
        declared=True,
    )
    return execute_configured(item, request, configured, ctx=ctx)


def may_execute_declared(item: WorkItem, *, ctx: ActingContext) -> bool:
    """Return True if the acting person may execute the declared action on the item, apart from the item's status."""
    try:
        _permitted_declaration(item, ctx=ctx)
    except errors.ThreadaError:
        return False
    return True


def _permitted_declaration(item: WorkItem, *, ctx: ActingContext) -> RequestDeclaration:
    if not ctx.allows(Scope.WORKITEMS_WRITE, workflow=item.workflow_version.workflow_id):
        raise errors.PermissionDenied(f"You do not hold workitems:write on the workflow {item.workflow}.")
    declared = workflow_document(item.workflow_version_id, ctx=ctx).request
    if declared is None:
        raise errors.ActionNotAllowed(f"The workflow {item.workflow} declares no request.")
    if not ctx.is_person or not ctx.principal_id == item.requester_id == item.submitted_by_id:
        raise errors.ActionNotAllowed("Only the person who submitted a request for themselves may start its action.")
    if item.channel != declared.channel:
        raise errors.ActionNotAllowed("The work item came in by another channel than the workflow's requests.")
    if integration_selectors.last_execution_of(item.id, tenant_id=item.tenant_id) is not None:
        raise errors.ExecutionInProgress("The action of this request was started before. Make a new request.")
    return declared
