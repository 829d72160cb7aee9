"""Deletion of a tenant that is due: closed first, then keys, files, rows; a signed record remains.

Every phase can be repeated, so that a deletion that was killed continues with the same command. From the first phase on
no request reaches the tenant.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.files.storage import storages
from django.db import transaction

from telemetry.log.key_file import SigningKey
from telemetry.models import InstanceQueueEntry, Receipt
from telemetry.selectors import newest_checkpoint
from telemetry.tlog.note import Signer, sign
from telemetry.verification.deletions import record_text
from threada_site.database.bulk_delete import delete_rows
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import sha256_hex
from threada_site.runtime.sealer.process import sealing_key_file
from threada_site.runtime.tenants.erase import delete_rows_of, destroy_keys, forget_people
from threada_site.tenancy.deletions.models import DeletedTenant
from threada_site.tenancy.models import Tenant
from workitems.attachments.models import StoredFile
from workitems.file_storage.stored_files import STORAGE
from workitems.models import WorkItem
from workitems.retention.tenant_deletion import require_due_deletion

type Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Deleted:
    """A finished deletion: the signed record."""

    note: str


def delete_tenant(*, ctx: ActingContext, say: Say) -> Deleted:
    """Delete the tenant of `ctx`, or continue its deletion. Opens its own transactions.

    Raise `Conflict` if it may not be deleted now, `KeyFileProblem` without a sealing key; then nothing is changed.
    """
    keys = sealing_key_file().keys()
    if _under_way(ctx.tenant_id) is None:
        _begin(ctx=ctx)
    say("the tenant is closed")
    with platform_role():
        destroy_keys(ctx.tenant_id)
        forget_people(ctx.tenant_id)
    say("its keys are destroyed")
    _delete_files(ctx.tenant_id)
    say("its files are deleted")
    rows = delete_rows_of(ctx.tenant_id)
    say(f"{rows} rows are deleted")
    return _finish(ctx.tenant_id, keys)


def _begin(*, ctx: ActingContext) -> None:
    """Close the tenant and store the facts of its record, in one transaction."""
    with unit_of_work(ctx.tenant_id):
        row = require_due_deletion(ctx=ctx)
        checkpoint = newest_checkpoint(ctx.tenant_id)
        mine = {"tenant_id": ctx.tenant_id}
        facts: dict[str, Any] = {
            "tenant_id": ids.public_id(ids.TENANT, ctx.tenant_id),
            "requested_by": ids.public_id(ids.PRINCIPAL, row.requested_by),
            "confirmed_by": ids.public_id(ids.PRINCIPAL, row.confirmed_by),
            "confirmed_at": rfc3339(row.confirmed_at),
            "due_at": rfc3339(row.due_at),
            "work_items": WorkItem.objects.filter(**mine).count(),
            "receipts": Receipt.objects.filter(**mine).count(),
            "files": StoredFile.objects.filter(**mine).count(),
            "checkpoint": None
            if checkpoint is None
            else {
                "log": checkpoint.origin,
                "size": checkpoint.size,
                "note_sha256": sha256_hex(checkpoint.note.encode()),
            },
        }
        with platform_role():
            found = DeletedTenant.objects.create(log_id=ctx.tenant_id, facts=facts)
            DeletedTenant.objects.filter(id=found.id).update(
                facts={**facts, "begun_at": rfc3339(found.begun_at)},
            )
            Tenant.objects.filter(id=ctx.tenant_id).update(is_active=False)


def _under_way(tenant_id: uuid.UUID) -> DeletedTenant | None:
    with platform_role():
        return DeletedTenant.objects.filter(log_id=tenant_id, ended_at=None).first()


def _delete_files(tenant_id: uuid.UUID) -> None:
    """Delete attachments and telemetry exports. Archives and files of deliveries are outside of the instance."""
    with unit_of_work(tenant_id):
        paths = list(StoredFile.objects.filter(tenant_id=tenant_id).values_list("path", flat=True))
    for path in paths:
        storages[STORAGE].delete(path)
    shutil.rmtree(settings.THREADA_EXPORT_DIR / str(tenant_id), ignore_errors=True)


def _finish(tenant_id: uuid.UUID, keys: Sequence[SigningKey]) -> Deleted:
    """Delete the tenant itself, and sign the record."""
    with transaction.atomic(), platform_role():
        row = DeletedTenant.objects.select_for_update().get(log_id=tenant_id, ended_at=None)
        row.ended_at = clock.now()
        text = record_text({**row.facts, "ended_at": rfc3339(row.ended_at)})
        row.note = str(sign(text, [Signer(key.name, key.private_key) for key in keys]))
        row.save(update_fields=["note", "ended_at"])
        delete_rows(Tenant.objects.filter(id=tenant_id))
        if settings.THREADA_INSTANCE_LOG:
            InstanceQueueEntry.objects.create(id=row.id)
    return Deleted(row.note)
