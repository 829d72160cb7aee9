"""Saved views of the desk and of lists. They belong to one person, may be shared, and leave no receipts."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.models import Membership
from workitems import selectors
from workitems.desk.models import NAME_LENGTH
from workitems.models import SavedView

MOST_VIEWS: Final = 20


def may_share(ctx: ActingContext) -> bool:
    """Return True for those who manage a workflow."""
    return ctx.has_scope_anywhere(Scope.WORKFLOW_MANAGE)


def save_view(
    name: str, filters: Mapping[str, str], *, ctx: ActingContext, page: str = SavedView.DESK, is_shared: bool = False
) -> SavedView:
    """Save filters under a name. A view of the same page with the same name is replaced.

    Raise `InvalidRequest` without a name, without filters, and beyond `MOST_VIEWS`; `PermissionDenied` for principals
    who are not members, and for those who share a view without managing a workflow.
    """
    require_unit_of_work(ctx.tenant_id)
    if is_shared and not may_share(ctx):
        raise errors.PermissionDenied("Sharing a view needs workflow:manage.")
    name = " ".join(name.split())
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise errors.InvalidRequest(
            f"The name of a view needs 1 to {NAME_LENGTH} visible characters.",
            errors=[FieldError("/name", f"must have 1 to {NAME_LENGTH} visible characters", "invalid")],
        )
    if not filters:
        raise errors.InvalidRequest("Set a filter first. A view needs at least one filter.")
    membership = Membership.objects.select_for_update().filter(tenant_id=ctx.tenant_id, user=ctx.principal_id).first()
    if membership is None:
        raise errors.PermissionDenied("Only members can save views.")
    own = selectors.own_views(ctx, page)
    row = own.filter(name=name).first()
    if row is None and own.count() >= MOST_VIEWS:
        raise errors.InvalidRequest(f"You have {MOST_VIEWS} saved views, the maximum. Delete one first.")
    row = row or SavedView(tenant_id=ctx.tenant_id, membership=membership, page=page, name=name)
    row.filters, row.is_shared, row.saved_at = dict(filters), is_shared, clock.now()
    row.save(update_fields=None if row._state.adding else ["filters", "is_shared", "saved_at"])
    return row


def delete_view_of_page(view_id: uuid.UUID, *, ctx: ActingContext) -> SavedView:
    """Delete an own view, or a shared one of somebody else if the caller may share. Return it. Raise `NotFound`."""
    require_unit_of_work(ctx.tenant_id)
    row = SavedView.objects.filter(tenant_id=ctx.tenant_id, id=view_id).select_related("membership").first()
    if row is None or not may_delete(row, ctx=ctx):
        raise errors.NotFound("There is no such view that you may delete.")
    SavedView.objects.filter(tenant_id=ctx.tenant_id, id=row.id).delete()
    return row


def may_delete(view: SavedView, *, ctx: ActingContext) -> bool:
    return view.membership.user_id == ctx.principal_id or (view.is_shared and may_share(ctx))
