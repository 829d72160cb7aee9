"""Erasure of the texts and files of removed comments: at once, or after the end of a legal hold."""

from __future__ import annotations

import uuid
from typing import Final

from threada_site.api.stored_answers import forget_answers_about
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.enqueue import MAINTENANCE_QUEUE, enqueue
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from threada_site.personal_data.erasable_fields import BY_AUTHOR, contents_of
from workitems.models import Attachment, Comment, CommentVersion
from workitems.retention.case_tables import emptied
from workitems.retention.due import items_under_legal_hold

ERASE: Final = "workitems.erase_comment"
"""Name of the task that erases the texts of a removed comment; its argument is `comment_id`."""
_AT_ONCE: Final = 200


def erase_removed(comment: Comment) -> None:
    """Enqueue the erasure of the texts of a removed comment. The web's login may not change texts itself."""
    enqueue(ERASE, tenant_id=comment.tenant_id, queue=MAINTENANCE_QUEUE, comment_id=str(comment.id))


def erase_comment(comment_id: uuid.UUID, *, tenant_id: uuid.UUID) -> bool:
    """Erase the texts and files of a removed comment.

    Return False if there is nothing to erase, or a legal hold keeps it.
    """
    comment = (
        Comment.objects.select_for_update()
        .filter(tenant_id=tenant_id, id=comment_id, removed_at__isnull=False, erased_at=None)
        .first()
    )
    if comment is None or items_under_legal_hold(tenant_id).filter(id=comment.work_item_id).exists():
        return False
    fields = {name: CommentVersion._meta.get_field(name) for name in ("text", "text_salt")}
    with platform_role():
        versions = CommentVersion.objects.filter(tenant_id=tenant_id, comment=comment)
        versions.update(**{name: emptied(field, by=BY_AUTHOR) for name, field in fields.items()})
        files = Attachment.objects.filter(tenant_id=tenant_id, comment=comment)
        files.update(**{field.attname: emptied(field, by=BY_AUTHOR) for field in contents_of(Attachment)})
    comment.erased_at = clock.now()
    comment.save(update_fields=["erased_at"])
    return True


def sweep_removed() -> int:
    """Erase the texts of comments whose job was lost, or whose legal hold has ended. Return how many comments."""
    with platform_role():
        rows = Comment.objects.filter(removed_at__isnull=False, erased_at=None).order_by("removed_at")
        due = list(rows.values_list("tenant_id", "id")[:_AT_ONCE])
    erased = 0
    for tenant_id, comment_id in due:
        with unit_of_work(tenant_id):
            erased += erase_comment(comment_id, tenant_id=tenant_id)
    return erased


def forget_answers_with(comment: Comment, *, ctx: ActingContext) -> None:
    """Empty the stored idempotency answers about a case that contain a comment."""
    case = ids.public_id(ids.WORK_ITEM, comment.work_item_id)
    forget_answers_about([comment.public_id], tenant_id=ctx.tenant_id, path=f"/work-items/{case}/")
