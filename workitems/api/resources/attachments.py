"""Resources of attachments."""

from __future__ import annotations

from typing import Any, Final

from threada_site.api.resources.field_types import BOOLEAN, INSTANT, NUMBER, TEXT, maybe, public_id
from threada_site.api.resources.resource import Representation, Resource, field
from threada_site.kernel import ids
from threada_site.personal_data.erasable_fields import is_erased

_SHA256: Final = "4f9c1f4a6a8d0b7e2c5d3f1e9b8a7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b"
FILE_FIELDS: Final = (
    field("attachment_id", public_id(ids.ATTACHMENT), "id"),
    field("name", TEXT, lambda attachment: str(attachment.name)),
    field("media_type", TEXT, description="By the ending of the name, checked against the bytes."),
    field("size", NUMBER, description="In bytes."),
    field("sha256", TEXT, description="SHA-256 of the bytes, hexadecimal."),
)
FILE_EXAMPLE: Final[dict[str, Any]] = {
    "attachment_id": "att_01k9zqd4fah7vw8x9y0z1a2b3c",
    "name": "invoice-0008.pdf",
    "media_type": "application/pdf",
    "size": 48_213,
    "sha256": _SHA256,
}
ATTACHMENT: Final = Resource(
    "Attachment",
    *FILE_FIELDS,
    field("uploaded_by", public_id(ids.PRINCIPAL), "uploaded_by_id", description="Person or program that sent it."),
    field("created_at", INSTANT),
    field("work_item_id", maybe(public_id(ids.WORK_ITEM)), description="Null until a payload or a comment uses it."),
    field("comment_id", maybe(public_id(ids.COMMENT)), description="Null for a file of a payload."),
    field("contents_erased", BOOLEAN, lambda attachment: is_erased(attachment.file_key)),
    example={
        **FILE_EXAMPLE,
        "uploaded_by": "pr_01k9zq4m2be5t8v7x6y5z4w3a2",
        "created_at": "2026-01-31T09:30:00.000Z",
        "work_item_id": None,
        "comment_id": None,
        "contents_erased": False,
    },
)
ATTACHMENT_CONTENT: Final = Representation(
    "AttachmentContent",
    {"type": "string", "format": "binary", "description": "The bytes that were uploaded."},
    media_type="application/octet-stream",
)
