"""Selectors of attachments, apart from who may read them."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from django.db.models import QuerySet, Sum

from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.personal_data.erasable_fields import is_erased
from workitems.file_storage.stored_files import CheckedFile, FileMismatchError, open_checked
from workitems.models import Attachment, StoredFile, WorkItem


def stored_bytes(tenant_id: uuid.UUID) -> int:
    """Return the size of all files that a tenant has in the storage."""
    return StoredFile.objects.filter(tenant_id=tenant_id).aggregate(size=Sum("size"))["size"] or 0


def unused_of(ctx: ActingContext) -> QuerySet[Attachment]:
    """Return the files that the caller has uploaded and not used yet."""
    return Attachment.objects.filter(tenant_id=ctx.tenant_id, uploaded_by=ctx.principal_id, work_item=None)


def files_of_payload(item: WorkItem, attachment_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Attachment]:
    """Return those of the attachments that belong to the payload of an item."""
    rows = Attachment.objects.filter(tenant_id=item.tenant_id, work_item=item, comment=None, id__in=attachment_ids)
    return {row.id: row for row in rows}


def path_of(attachment: Attachment) -> str | None:
    """Return the path of the file in the storage; None if it was deleted."""
    rows = StoredFile.objects.filter(tenant_id=attachment.tenant_id, id=attachment.id)
    return rows.values_list("path", flat=True).first()


def stored_path(attachment: Attachment) -> str:
    """Return the path of a file that can still be read. Raise `AttachmentErased`."""
    path = path_of(attachment)
    if path is None or is_erased(attachment.file_key):
        raise errors.AttachmentErased
    return path


def open_file(attachment: Attachment, path: str) -> CheckedFile:
    """Return a checked copy of the file at its `stored_path`. Raise `AttachmentUnavailable`.

    Call it outside of any transaction: the storage may be slow.
    """
    try:
        return open_checked(path, bytes(attachment.file_key), attachment)
    except FileMismatchError as error:
        raise errors.AttachmentUnavailable(f"{error} It is not given out.") from None
