"""Files of comments, and who may read an attachment: everyone who may read its payload or comment, nobody else."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from workitems import selectors as item_selectors
from workitems.attachments.selectors import stored_path
from workitems.conversation.selectors import comment_of
from workitems.items.sensitive import record_reading
from workitems.models import Attachment, Comment, WorkItem

MOST_FILES: Final = 10
"""Files of one comment."""

type FindItem = Callable[[uuid.UUID], WorkItem | None]


@dataclass(frozen=True, slots=True)
class ReadableAttachment:
    """Attachment that the caller may read, and its work item; None if it was not used yet."""

    row: Attachment
    item: WorkItem | None


def attachment_named(
    attachment_id: uuid.UUID, *, ctx: ActingContext, find_item: FindItem | None = None
) -> ReadableAttachment | None:
    """Return an attachment that the caller may read, or None. Unused ones are readable for their uploader only.

    `find_item` returns a work item that the caller may read; by default those of the API.
    """
    row = Attachment.objects.filter(tenant_id=ctx.tenant_id, id=attachment_id).first()
    if row is None:
        return None
    if row.work_item_id is None:
        return ReadableAttachment(row, None) if row.uploaded_by_id == ctx.principal_id else None
    item = find_item(row.work_item_id) if find_item else item_selectors.work_item(row.work_item_id, ctx=ctx)
    if item is None:
        return None
    if row.comment_id is not None:
        comment = comment_of(item, row.comment_id, ctx=ctx)
        if comment is None or comment.removed_at is not None:
            return None
    return ReadableAttachment(row, item)


def path_to_read(found: ReadableAttachment, *, ctx: ActingContext) -> str:
    """Return the path of a file that is opened afterwards, outside of the transaction (`open_file`).

    Reading cases of a sensitive data class leaves a receipt. Raise `AttachmentErased`.
    """
    if found.item is not None:
        record_reading(found.item, ctx=ctx)
    return stored_path(found.row)


def usable_files(named: Sequence[str], *, ctx: ActingContext) -> list[Attachment]:
    """Return unused files of the caller, locked, for a comment. Raise `AttachmentNotUsable`, `InvalidRequest`."""
    if not named:
        return []
    if len(named) > MOST_FILES or len(set(named)) != len(named):
        raise errors.InvalidRequest(
            f"A comment has at most {MOST_FILES} files, each once.",
            errors=[FieldError("/attachments", "has too many files, or one twice", "too_many")],
        )
    parsed = [ids.parse_public_id(ids.ATTACHMENT, text) for text in named]
    unused = Attachment.objects.filter(tenant_id=ctx.tenant_id, work_item=None, uploaded_by=ctx.principal_id)
    locked = unused.filter(stored_at__isnull=False, id__in=[key for key in parsed if key]).select_for_update()
    rows = {row.id: row for row in locked.order_by("id")}
    missing = [
        FieldError(f"/attachments/{place}", "is no file that you uploaded, or it was used before")
        for place, key in enumerate(parsed)
        if key is None or key not in rows
    ]
    if missing:
        raise errors.AttachmentNotUsable(errors=missing)
    return [rows[key] for key in parsed if key is not None]


def use_in_comment(rows: Sequence[Attachment], comment: Comment) -> None:
    """Give locked files to a comment and its work item."""
    for row in rows:
        row.work_item_id, row.comment_id = comment.work_item_id, comment.id
        row.hidden_from, row.used_at = list(comment.hidden_from), clock.now()
        row.save(update_fields=["work_item", "comment", "hidden_from", "used_at", "name", "file_key"])
