"""Uploads: checked, announced in the database, stored, and marked as stored.

The rows are committed before the file is written, so that every file in the storage has a row, whatever fails. The file
is written outside of any transaction.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, Final

from django.conf import settings
from django.db.models import Sum
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.database.unit_of_work import require_unit_of_work, unit_of_work
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.media_types import KNOWN, TextCheck, UnusableFileError, clean_name, type_of
from threada_site.tenancy.quotas.require import require_stored_bytes
from workitems.file_storage.encrypted_files import BLOCK, new_file_key
from workitems.file_storage.stored_files import discard_file, write_file
from workitems.models import Attachment, StoredFile

_UNUSABLE: Final = {
    "control_bytes": gettext_lazy("The file contains bytes that no text has."),
    "not_utf8": gettext_lazy("The file is no text in UTF-8."),
    "name": gettext_lazy("A file of the type %(type)s needs a name that ends with .%(ending)s."),
    "type": gettext_lazy("Files of this type are not accepted. Accepted: %(endings)s."),
    "content": gettext_lazy("The file is no %(type)s file: it begins otherwise."),
}

MOST_UNUSED: Final = 50
"""Files that one principal may have uploaded and not used yet."""
MOST_UNUSED_FILES: Final = 10
"""Their size together, in files of the largest size."""
KEPT_UNUSED: Final = timedelta(days=1)
WRITTEN_WITHIN: Final = timedelta(minutes=2)
"""Time after which a file that was announced and not written is written again by a repeated upload."""


@dataclass(frozen=True, slots=True)
class Upload:
    """File that was received and checked. `file` can be read again."""

    file: IO[bytes]
    name: str
    media_type: str
    size: int
    sha256: str

    def as_json(self) -> dict[str, object]:
        return {"name": self.name, "media_type": self.media_type, "size": self.size, "sha256": self.sha256}

    def blocks(self) -> Iterator[bytes]:
        self.file.seek(0)
        while block := self.file.read(BLOCK):
            yield block


def accepted_types() -> tuple[str, ...]:
    """Return the media types that the instance accepts."""
    chosen = settings.THREADA_ATTACHMENT_TYPES
    return tuple(name for name in KNOWN if not chosen or name in chosen)


def check_upload(
    file: IO[bytes],
    *,
    name: str,
    declared: str = "",
    types: Collection[str] = (),
    most: int | None = None,
    pointer: str = "/file",
) -> Upload:
    """Read a file once and return it with its digest, size and type.

    `types` and `most` limit it further than the instance does. Raise `AttachmentTypeRefused`, `AttachmentTooLarge`, and
    `InvalidRequest` for an empty file.
    """
    limit = min(most or settings.THREADA_MAX_ATTACHMENT_BYTES, settings.THREADA_MAX_ATTACHMENT_BYTES)
    allowed = [known for known in accepted_types() if not types or known in types]
    clean = clean_name(name)
    digest, size, head = hashlib.sha256(), 0, b""
    try:
        found = type_of(clean, declared, allowed=allowed)
        text = TextCheck() if found.is_text else None
        file.seek(0)
        while block := file.read(BLOCK):
            head = head or block
            size += len(block)
            if size > limit:
                raise errors.AttachmentTooLarge(
                    _("The file has more than the %(most)d bytes allowed.") % {"most": limit},
                    errors=[FieldError(pointer, "is too large", "too_large")],
                )
            digest.update(block)
            if text is not None:
                text.add(block)
        if size and not found.fits(head):
            raise UnusableFileError("content", type=found.label)
        if text is not None:
            text.finish()
    except UnusableFileError as error:
        detail = _UNUSABLE[error.reason] % error.values
        raise errors.AttachmentTypeRefused(detail, errors=[FieldError(pointer, detail, "type_refused")]) from None
    if not size:
        raise errors.InvalidRequest(_("The file is empty."), errors=[FieldError(pointer, "is empty", "required")])
    return Upload(file, clean, found.name, size, digest.hexdigest())


def announce(upload: Upload, *, ctx: ActingContext) -> Attachment:
    """Store the rows of a file that is written next. Needs `workitems:write` or `decisions:decide` anywhere.

    Raise `PermissionDenied`, `QuotaExceeded`, `RateLimited` (too many unused files).
    """
    require_unit_of_work(ctx.tenant_id)
    if not any(ctx.has_scope_anywhere(scope) for scope in (Scope.WORKITEMS_WRITE, Scope.DECISIONS_DECIDE)):
        raise errors.PermissionDenied("Uploading a file needs workitems:write or decisions:decide.")
    require_stored_bytes(ctx=ctx)
    unused = Attachment.objects.filter(tenant_id=ctx.tenant_id, uploaded_by=ctx.principal_id, work_item=None)
    size = unused.aggregate(size=Sum("size"))["size"] or 0
    most = MOST_UNUSED_FILES * settings.THREADA_MAX_ATTACHMENT_BYTES
    if unused.count() >= MOST_UNUSED or size + upload.size > most:
        raise errors.RateLimited(
            f"You have uploaded files that you have not used: {MOST_UNUSED} files and {most} bytes are allowed. Use "
            "them in a work item or a comment, or wait until they are deleted after a day.",
            headers={"Retry-After": "3600"},
        )
    attachment = Attachment(
        tenant_id=ctx.tenant_id,
        uploaded_by_id=ctx.principal_id,
        name=upload.name,
        file_key=new_file_key(),
        media_type=upload.media_type,
        size=upload.size,
        sha256=upload.sha256,
        created_at=clock.now(),
    )
    StoredFile.objects.create(
        id=attachment.id,
        tenant_id=ctx.tenant_id,
        path=f"{ctx.tenant_id.hex}/{attachment.id.hex[-2:]}/{secrets.token_hex(20)}",
        size=upload.size,
        created_at=attachment.created_at,
    )
    attachment.save(force_insert=True)
    return attachment


def announced_again(attachment_id: uuid.UUID, *, ctx: ActingContext) -> Attachment | None:
    """Return an upload of the caller whose file was not written, to write it now, or None if it was written.

    Raise `IdempotencyInFlight` while the first request may still write it.
    """
    rows = Attachment.objects.filter(tenant_id=ctx.tenant_id, uploaded_by=ctx.principal_id, work_item=None)
    found = rows.filter(id=attachment_id, stored_at=None).first()
    if found is not None and found.created_at > clock.now() - WRITTEN_WITHIN:
        raise errors.IdempotencyInFlight(headers={"Retry-After": "5"})
    return found


def store(attachment: Attachment, upload: Upload, *, ctx: ActingContext) -> None:
    """Write the file of an announced upload, outside of any transaction. Raise `AttachmentUnavailable`.

    After a failure the rows are left for the sweep.
    """
    with unit_of_work(ctx.tenant_id, actor=ctx):
        path = StoredFile.objects.values_list("path", flat=True).get(tenant_id=ctx.tenant_id, id=attachment.id)
    if attachment.created_at <= clock.now() - WRITTEN_WITHIN:
        discard_file(path)  # a part of the file, if the first attempt ended while it wrote
    write_file(path, upload.blocks(), bytes(attachment.file_key))
    attachment.stored_at = clock.now()
    with unit_of_work(ctx.tenant_id, actor=ctx):
        attachment.save(update_fields=["stored_at"])


def receive(upload: Upload, *, ctx: ActingContext) -> Attachment:
    """Announce and store a file. Raise the errors of both."""
    with unit_of_work(ctx.tenant_id, actor=ctx):
        attachment = announce(upload, ctx=ctx)
    store(attachment, upload, ctx=ctx)
    return attachment
