"""The log of the instance as files that an outsider can check: for its operator alone, since it names every tenant.

<name>/README.txt       how to check it, in words
<name>/checkpoint.txt   the newest signed head of the instance's log
<name>/entries.txt      its leaves in order: the tenants' signed checkpoints, appended to one another
<name>/heads.txt        for each tenant that is there, the newest signed head, where its rows still lead to it
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import batched
from typing import Final

from telemetry.evidence import CHECKPOINT_FILE, README_FILE, Archive
from telemetry.models import Checkpoint, InstanceCheckpoint, InstanceEntry
from telemetry.sealing.log_rows import LogIncomplete
from telemetry.selectors import instance_checkpoints, log_nodes, log_size
from telemetry.services.verification.snapshot import instance_snapshot, stream
from telemetry.tlog.checkpoint import Checkpoint as SignedCheckpointText
from telemetry.tlog.note import SignedNote
from telemetry.tlog.proofs import tree_root
from telemetry.tlog.texts import MalformedText
from threada_site.kernel import errors
from threada_site.tenancy.models import Tenant

ENTRIES_FILE: Final = "entries.txt"
CHECKPOINTS_FILE: Final = "heads.txt"
_LINES_AT_ONCE: Final = 2000
_ENTRIES: Final = 'SELECT note FROM telemetry_instanceentry WHERE "index" < %s ORDER BY "index"'
_README: Final = """\
The log of a Threada instance: the signed heads of its tenants' logs, in the order they were sealed.

    python3 threada_verify.py --key KEY {archive} --against OLDER

KEY is the public key of the instance or of any of its logs; get it, and threada_verify.py, from where you trust them.
OLDER is a head of this log that you kept (checkpoint.txt of an earlier export will do). It shows that nothing was taken
out of this log since, and that every tenant whose head is in it still is there and continues it.

checkpoint.txt   the signed head of this log (https://c2sp.org/tlog-checkpoint)
entries.txt      its leaves: entry n is the whole of the nth note, signatures included (RFC 6962)
heads.txt        the newest signed head of each tenant that is in the database
"""


def instance_archive(name: str) -> Iterator[bytes]:
    """The bytes of a zip, made while they are taken, of one instant. Raises `CheckpointNotSealed`."""
    with instance_snapshot():
        checkpoint = instance_checkpoints().order_by("-id").first()
        if checkpoint is None:
            raise errors.CheckpointNotSealed
        yield from _archive(name, checkpoint)


def _archive(name: str, checkpoint: InstanceCheckpoint) -> Iterator[bytes]:
    archive = Archive(name)
    yield archive.add(README_FILE, _README.format(archive=f"{name}.zip").encode())
    yield archive.add(CHECKPOINT_FILE, checkpoint.note.encode())
    with archive.member(ENTRIES_FILE) as out:
        for rows in batched(stream(_ENTRIES, [checkpoint.size]), _LINES_AT_ONCE):
            out.write("".join(note for (note,) in rows).encode())
            yield archive.drain()
    with archive.member(CHECKPOINTS_FILE) as out:
        for tenant_id in Tenant.objects.order_by("id").values_list("id", flat=True):
            if note := _checkpoint_of(tenant_id, checkpoint):
                out.write(note.encode())
            yield archive.drain()
    yield archive.finish()


def _checkpoint_of(tenant_id: uuid.UUID, checkpoint: InstanceCheckpoint) -> str | None:
    """The newest head of the tenant that is not past its newest entry, if the tenant's rows make its root today."""
    entry = InstanceEntry.objects.filter(log_id=tenant_id, index__lt=checkpoint.size).order_by("-index").first()
    size = log_size(tenant_id)
    most = min(size, _size_said(entry, default=size)) if entry else size
    newest = Checkpoint.objects.filter(tenant_id=tenant_id, size__lte=most).order_by("-id").first()
    if newest is None:
        return None
    try:
        is_whole = tree_root(newest.size, log_nodes(tenant_id)) == bytes(newest.root)
    except LogIncomplete:
        is_whole = False
    return newest.note if is_whole else None


def _size_said(entry: InstanceEntry, *, default: int) -> int:
    """How many receipts the log had then; an entry that somebody has changed may say nothing that can be read."""
    try:
        return SignedCheckpointText.parse(SignedNote.parse(entry.note).text).size
    except MalformedText:
        return default
