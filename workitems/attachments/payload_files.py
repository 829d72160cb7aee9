"""Files in payloads: values of the format `file` name attachments, and contain what is sealed about them.

A client sends `{attachment_id}`. The server completes it to `{attachment_id, name, media_type, size, sha256}`, so that
the digest of the payload, and with it every envelope, fixes the file.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

from django.utils.translation import gettext as _

from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.kernel.media_types import KNOWN, endings_of
from threada_site.personal_data.erasable_fields import is_erased
from workitems.attachments.file_places import Place, file_places, has_files
from workitems.models import Attachment, WorkItem

MOST_FILES: Final = 20
"""Files in one payload."""
MEMBERS: Final = ("attachment_id", "name", "media_type", "size", "sha256")


def complete_files(
    payload: Any, schema: Any, *, item: WorkItem | None = None, ctx: ActingContext
) -> tuple[Any, Sequence[Attachment]]:
    """Return the payload with complete files, and the attachments that it uses for the first time, locked.

    A file must have been uploaded by the caller and not be used, or belong to the payload of `item`. Raise
    `AttachmentNotUsable` with every such field.
    """
    if not has_files(schema):
        return payload, ()
    require_unit_of_work(ctx.tenant_id)
    completed = copy.deepcopy(payload)
    places = list(islice(file_places(schema, completed), MOST_FILES + 1))
    if len(places) > MOST_FILES:
        said = f"has more than the {MOST_FILES} files allowed"
        raise errors.AttachmentNotUsable(errors=[FieldError("/payload", said, "too_many")])
    rows = _locked(places, ctx=ctx)
    found: list[FieldError] = []
    for pointer, container, key, annotation in places:
        value = container[key]
        row = rows.get(_id_in(value))
        error = _error_of(value, row, annotation, item=item, ctx=ctx)
        if row is None or error is not None:
            found.append(FieldError(f"/payload{pointer}", error or "", "attachment_not_usable"))
        else:
            container[key] = as_json(row)
    if found:
        raise errors.AttachmentNotUsable(errors=found)
    return completed, [row for row in rows.values() if row.work_item_id is None]


def use_files(attachments: Sequence[Attachment], item: WorkItem) -> None:
    """Give locked attachments to a stored item. Contents of cases about a data subject are encrypted from then on."""
    for attachment in attachments:
        attachment.work_item_id = item.id
        attachment.used_at = clock.now()
        attachment.save(update_fields=["work_item", "used_at", "name", "file_key"])


def as_json(attachment: Attachment) -> dict[str, Any]:
    """Return an attachment as payloads and envelopes contain it."""
    return {
        "attachment_id": attachment.public_id,
        "name": str(attachment.name),
        "media_type": attachment.media_type,
        "size": attachment.size,
        "sha256": attachment.sha256,
    }


def _error_of(
    value: Any, row: Attachment | None, annotation: Mapping[str, Any], *, item: WorkItem | None, ctx: ActingContext
) -> str | None:
    is_own = row is not None and row.work_item_id is None and row.uploaded_by_id == ctx.principal_id
    is_of_item = row is not None and item is not None and row.work_item_id == item.id and row.comment_id is None
    if row is None or not (is_own or is_of_item):
        return _("is no file that you uploaded, or it was used before")
    if row.stored_at is None or is_erased(row.file_key):
        return _("is a file that was not stored completely; upload it again")
    known = as_json(row)
    if any(name not in known or known[name] != part for name, part in value.items()):
        return _("contains something that is not so of the uploaded file; send only its attachment_id")
    types = annotation.get("types") or KNOWN
    if row.media_type not in types:
        return _("must be a file of these types: %(endings)s") % {"endings": endings_of(types)}
    most = annotation.get("max_bytes")
    if most is not None and row.size > most:
        return _("must have at most %(most)d bytes") % {"most": most}
    return None


def _locked(places: Sequence[Place], *, ctx: ActingContext) -> dict[uuid.UUID | None, Attachment]:
    parsed = [_id_in(container[key]) for _pointer, container, key, _annotation in places]
    named = [key for key in parsed if key is not None]
    rows = Attachment.objects.select_for_update().filter(tenant_id=ctx.tenant_id, id__in=named).order_by("id")
    return {row.id: row for row in rows} if named else {}


def _id_in(value: Any) -> uuid.UUID | None:
    named = value.get("attachment_id") if isinstance(value, dict) else None
    return ids.parse_public_id(ids.ATTACHMENT, named) if isinstance(named, str) else None
