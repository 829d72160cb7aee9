"""Drafts of requests. They belong to one person and leave no receipts."""

from __future__ import annotations

import json
import uuid
from typing import Final

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Membership
from workitems.models import RequestDraft
from workitems.portal.catalogue import Requestable
from workitems.portal.entered import Entered

MOST_DRAFTS: Final = 20
MAX_DRAFT_BYTES: Final = 256 * 1024


def drafts(ctx: ActingContext) -> QuerySet[RequestDraft]:
    """Return the drafts of the acting person, the latest first."""
    rows = RequestDraft.objects.filter(tenant_id=ctx.tenant_id, membership__user_id=ctx.principal_id)
    return rows.order_by("-saved_at", "-id")


def draft_named(public_id: str, *, ctx: ActingContext) -> RequestDraft | None:
    """Return one of `drafts`, or None."""
    parsed = ids.parse_public_id(ids.REQUEST_DRAFT, public_id)
    return drafts(ctx).filter(id=parsed).first() if parsed else None


def save_draft(
    workflow: Requestable, entered: Entered, *, draft_id: uuid.UUID | None = None, ctx: ActingContext
) -> RequestDraft:
    """Save what was typed: as the draft `draft_id` if the person has it, else as a new one.

    Raise `InvalidRequest` beyond the limits and for workflows about data subjects, whose data is not kept unencrypted;
    `PermissionDenied` for principals who are not members.
    """
    require_unit_of_work(ctx.tenant_id)
    if not workflow.takes_drafts:
        raise errors.InvalidRequest(_("Forms of this workflow contain personal data and cannot be saved as drafts."))
    stored = entered.as_json()
    if len(json.dumps(stored, ensure_ascii=False).encode("utf-8", "replace")) > MAX_DRAFT_BYTES:
        raise errors.InvalidRequest(_("The form is too large for a draft."))
    if "\x00" in "".join(text for texts in entered.texts.values() for text in texts) or "\x00" in "".join(
        (*entered.texts, *entered.rows, *entered.shown)
    ):
        raise errors.InvalidRequest(_("The form contains characters that cannot be stored."))
    membership = Membership.objects.select_for_update().filter(tenant_id=ctx.tenant_id, user=ctx.principal_id).first()
    if membership is None:
        raise errors.PermissionDenied(_("Only members can save drafts."))
    own = drafts(ctx)
    row = own.filter(id=draft_id, workflow=workflow.slug).first() if draft_id else None
    if row is None:
        if own.count() >= MOST_DRAFTS:
            raise errors.InvalidRequest(
                _("You have %(count)d drafts, the maximum. Delete one first.") % {"count": MOST_DRAFTS}
            )
        row = RequestDraft(tenant_id=ctx.tenant_id, membership=membership, workflow=workflow.slug)
    row.workflow_version_id, row.entered, row.saved_at = workflow.version_id, stored, clock.now()
    row.save(update_fields=None if row._state.adding else ["workflow_version_id", "entered", "saved_at"])
    return row


def delete_draft(draft_id: uuid.UUID, *, ctx: ActingContext) -> None:
    """Delete a draft of the acting person. Raise `NotFound`."""
    require_unit_of_work(ctx.tenant_id)
    deleted, _rows = drafts(ctx).filter(id=draft_id).delete()
    if not deleted:
        raise errors.NotFound(_("You have no such draft."))
