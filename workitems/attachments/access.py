"""Files of an execution: the attachments that its envelope describes, checked before the call."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.connectors.attached_files import files_in
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors, ids
from threada_site.personal_data.erasable_fields import is_erased
from workitems.attachments.payload_files import as_json
from workitems.attachments.selectors import files_of_payload, path_of
from workitems.file_storage.stored_files import CheckedFile, FileMismatchError, open_checked
from workitems.models import Attachment, WorkItem


@dataclass(frozen=True, slots=True)
class FileAccess:
    """Opens files for the calls of one work item."""

    tenant_id: uuid.UUID
    work_item_id: uuid.UUID

    def __call__(self, about: Mapping[str, Any]) -> CheckedFile:
        """Return a checked copy of a file that a request describes.

        Raises `TransportFailure`: `attachment_mismatch`, `attachment_unavailable`.
        """
        with unit_of_work(self.tenant_id):
            row, path = self._found(about)
        if not connection.in_atomic_block:
            connection.close()  # back to the pool: reading and the call may take minutes
        try:
            return open_checked(path, bytes(row.file_key), row)
        except FileMismatchError as error:
            raise mismatch(f"{row.public_id}: {error}") from None
        except errors.AttachmentUnavailable:
            detail = f"The storage did not give out {row.public_id}."
            raise TransportFailure(FailureClass.ATTACHMENT_UNAVAILABLE, detail) from None

    def _found(self, about: Mapping[str, Any]) -> tuple[Attachment, str]:
        key = ids.parse_public_id(ids.ATTACHMENT, str(about.get("attachment_id")))
        row = None
        if key is not None:
            of_payload = Attachment.objects.filter(work_item_id=self.work_item_id, comment=None)
            row = of_payload.filter(tenant_id=self.tenant_id, id=key).first()
        path = None if row is None else path_of(row)
        if row is None or path is None or is_erased(row.file_key):
            raise mismatch("A file of the envelope no longer exists.")
        if as_json(row) != dict(about):
            raise mismatch(f"{row.public_id} is not the file that the envelope describes.")
        return row, path


def check_request_files(item: WorkItem, request: Mapping[str, Any]) -> None:
    """Raise `ExpressionFailed` unless all files of a built request are attachments of the item's payload."""
    described = list(files_in(request))
    if not described:
        return
    keys = [ids.parse_public_id(ids.ATTACHMENT, about["attachment_id"]) for about in described]
    rows = files_of_payload(item, [key for key in keys if key is not None])
    for key, about in zip(keys, described, strict=True):
        if key is None or key not in rows or as_json(rows[key]) != dict(about):
            raise errors.ExpressionFailed("The action sends a file that is no attachment of this work item's payload.")


def mismatch(detail: str) -> TransportFailure:
    """Return the failure of a call whose file is not the approved one."""
    return TransportFailure(FailureClass.ATTACHMENT_MISMATCH, detail)
