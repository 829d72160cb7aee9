"""Views of the desk that people keep: their own affair, so they leave no receipt."""

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
    """Keep these filters under a name; a view of that name is replaced.

    Raises `InvalidRequest` without a name, without filters, and beyond `MOST_VIEWS`; `PermissionDenied` for whoever is
    no member.
    """
    require_unit_of_work(ctx.tenant_id)
    name = " ".join(name.split())
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise errors.InvalidRequest(
            f"Give the view a name of 1 to {NAME_LENGTH} visible characters.",
            errors=[FieldError("/name", f"is not 1 to {NAME_LENGTH} visible characters", "invalid")],
        )
    if not filters:
        raise errors.InvalidRequest("Set a filter first: a view without one is the desk itself.")
    membership = Membership.objects.select_for_update().filter(tenant_id=ctx.tenant_id, user=ctx.principal_id).first()
    if membership is None:
        raise errors.PermissionDenied("Only members have views of their own.")
    own = selectors.saved_views(ctx)
    row = own.filter(name=name).first()
    if row is None and own.count() >= MOST_VIEWS:
        raise errors.InvalidRequest(f"You have {MOST_VIEWS} views. Delete one before you save another.")
    row = row or SavedView(tenant_id=ctx.tenant_id, membership=membership, name=name)
    row.filters, row.saved_at = dict(filters), clock.now()
    row.save()
    return row


def delete_view(name: str, *, ctx: ActingContext) -> None:
    """Let go of one's own view. Raises `NotFound`."""
    require_unit_of_work(ctx.tenant_id)
    deleted, _ = selectors.saved_views(ctx).filter(name=name).delete()
    if not deleted:
        raise errors.NotFound("You have no view of that name.")
