"""Saved views of the desk. They belong to one person and leave no receipts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.models import Membership
from workitems import selectors
from workitems.desk.models import NAME_LENGTH
from workitems.models import SavedView

MOST_VIEWS: Final = 20


def save_view(name: str, filters: Mapping[str, str], *, ctx: ActingContext) -> SavedView:
    """Save filters under a name. A view with the same name is replaced.

    Raise `InvalidRequest` without a name, without filters, and beyond `MOST_VIEWS`; `PermissionDenied` for principals
    who are not members.
    """
    require_unit_of_work(ctx.tenant_id)
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
    own = selectors.saved_views(ctx)
    row = own.filter(name=name).first()
    if row is None and own.count() >= MOST_VIEWS:
        raise errors.InvalidRequest(f"You have {MOST_VIEWS} saved views, the maximum. Delete one first.")
    row = row or SavedView(tenant_id=ctx.tenant_id, membership=membership, name=name)
    row.filters, row.saved_at = dict(filters), clock.now()
    row.save(update_fields=None if row._state.adding else ["filters", "saved_at"])
    return row


def delete_view(name: str, *, ctx: ActingContext) -> None:
    """Delete a saved view of the acting principal. Raise `NotFound`."""
    require_unit_of_work(ctx.tenant_id)
    deleted, _ = selectors.saved_views(ctx).filter(name=name).delete()
    if not deleted:
        raise errors.NotFound("You have no saved view with this name.")
