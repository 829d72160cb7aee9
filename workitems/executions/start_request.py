"""Start of the declared action of a request, when people have approved the work item at intake.

The job acts as the requester, with the permissions that the requester has now. A refusal leaves the work item ready:
the requester can start the action by hand, or withdraw the request.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.utils.module_loading import import_string

from telemetry.receipts.format import Subject
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.context import job_context
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, EntryPoint
from threada_site.kernel.errors import ThreadaError
from threada_site.tenancy.members import members
from threada_site.tenancy.models import Tenant
from workitems import selectors
from workitems.executions.declared_request import execute_declared
from workitems.lifecycle import WorkItemStatus
from workitems.models import WorkItem


def start_request(tenant: Tenant, work_item_id: uuid.UUID) -> None:
    """Execute the declared action of a ready work item as its requester. Do nothing if it was started before.

    A denial by a policy is stored as for every other execution. Any refusal leaves a receipt `request.refused`.
    """
    refusal: ThreadaError | None = None
    ctx: ActingContext | None = None
    try:
        with unit_of_work(tenant.id):
            item = _locked(tenant, work_item_id)
            if item is None:
                return
            _keep_from_starting_again(item)
            ctx = _requester_context(item, tenant)
            try:
                execute_declared(item, key=f"request-{item.public_id}", ctx=ctx)
            except errors.PolicyDenied as denial:
                refusal = denial
    except ThreadaError as error:
        refusal = error
        with unit_of_work(tenant.id):
            item = _locked(tenant, work_item_id)
            if item is not None:
                _keep_from_starting_again(item)
    if refusal is not None:
        with unit_of_work(tenant.id):
            import_string(settings.THREADA_REFUSAL_HANDLER)(
                ctx or job_context(tenant),
                refusal,
                method="JOB",
                path="requests/start",
                subject=Subject(work_item_id=work_item_id),
            )


def _locked(tenant: Tenant, work_item_id: uuid.UUID) -> WorkItem | None:
    """Return the locked work item if its action has to be started, or None."""
    item = selectors.work_item_for_update(work_item_id, tenant_id=tenant.id)
    if item is None or item.status != WorkItemStatus.READY or not item.starts_when_ready:
        return None
    return item


def _keep_from_starting_again(item: WorkItem) -> None:
    item.starts_when_ready = False
    item.save(update_fields=["starts_when_ready"])


def _requester_context(item: WorkItem, tenant: Tenant) -> ActingContext:
    """Return the context of the requester, with current permissions.

    Raise `PrincipalInactive` if the requester is no active member, and `ActionNotAllowed` if somebody else has changed
    the payload since: the requester must then start the action by hand.
    """
    if item.edited_by_id not in (None, item.requester_id):
        raise errors.ActionNotAllowed("Somebody else changed the request. Its requester must send it on.")
    for member in members(tenant.id, among=[item.requester_id]):
        if member.is_accepted:
            return ActingContext(
                tenant_id=tenant.id,
                tenant_slug=tenant.slug,
                principal_id=member.id,
                principal_kind=member.kind,
                principal_name=member.username,
                roles=member.permissions.roles,
                groups=member.permissions.groups,
                scopes=member.permissions.scopes,
                grants=member.permissions.grants,
                visibility=member.permissions.visibility,
                entry_point=EntryPoint.JOB,
                correlation_id=item.correlation_id,
            )
    raise errors.PrincipalInactive("The requester is no longer an active member.")
