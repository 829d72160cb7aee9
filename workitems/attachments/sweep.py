"""Sweep over the files in the storage: unused ones, and those whose contents were removed.

A file that cannot be decrypted any more is read by nobody; the sweep only frees the space. It may be killed at any time
and repeated: the row of a stored file is deleted after the file.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import connection

from threada_site.database.roles import platform_role
from workitems.attachments.upload import KEPT_UNUSED
from workitems.file_storage.stored_files import delete_file
from workitems.models import Attachment, StoredFile

_AT_ONCE: Final = 500
_SETTLED: Final = timedelta(minutes=10)
"""Age of a stored file below which the sweep leaves it alone."""
_TRY_AGAIN: Final = timedelta(hours=1)
"""Time until a file that could not be deleted is tried again, after those that were not tried yet."""
_UNREADABLE: Final = """
SELECT file.id, file.path
  FROM workitems_storedfile file
  LEFT JOIN workitems_attachment attachment ON attachment.id = file.id
  LEFT JOIN workitems_workitem item ON item.id = attachment.work_item_id
  LEFT JOIN tenancy_datasubject subject ON subject.id = item.subject_id
 WHERE file.created_at < %s
   AND (attachment.id IS NULL OR subject.erased_at IS NOT NULL
        OR substring(attachment.file_key FROM 1 FOR 14) = %s::bytea)
   AND (file.next_deletion_at IS NULL OR file.next_deletion_at <= %s)
 ORDER BY file.next_deletion_at NULLS FIRST, file.id
 LIMIT %s
"""

log = structlog.get_logger("threada.sweeps")


def sweep_files(*, now: datetime) -> int:
    """Delete attachments that nobody used within a day, and files that nobody can read. Return how many files."""
    with platform_role():
        unused = Attachment.objects.filter(work_item=None, created_at__lt=now - KEPT_UNUSED)
        locked = list(unused.select_for_update(skip_locked=True).values_list("id", flat=True)[:_AT_ONCE])
        Attachment.objects.filter(id__in=locked, work_item=None).delete()
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(_UNREADABLE, [now - _SETTLED, b"threada:erased", now, _AT_ONCE])
        files = cursor.fetchall()
    deleted, kept = [], []
    for file_id, path in files:
        try:
            delete_file(path)
        except Exception:  # a failure of one file must not stop the others
            log.exception("attachment_not_deleted", path=path)
            kept.append(file_id)
        else:
            deleted.append(file_id)
    with platform_role():
        StoredFile.objects.filter(id__in=deleted).delete()
        StoredFile.objects.filter(id__in=kept).update(next_deletion_at=now + _TRY_AGAIN)
    return len(deleted)
