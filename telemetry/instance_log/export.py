"""The instance log as files for offline verification. For the operator only, since it names every tenant.

<name>/README.txt       instructions
<name>/checkpoint.txt   the newest checkpoint of the instance log
<name>/entries.txt      its leaves in order: the tenants' signed checkpoints, concatenated
<name>/heads.txt        the newest checkpoint of each existing tenant, if its rows still lead to the signed root
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import batched
from typing import Final

from telemetry.exports.evidence_archive import CHECKPOINT_FILE, README_FILE, Archive
from telemetry.log.rows import LogIncomplete
from telemetry.models import Checkpoint, InstanceCheckpoint, InstanceEntry
from telemetry.selectors import instance_checkpoints, log_nodes, log_size
from telemetry.tlog.checkpoint import Checkpoint as SignedCheckpointText
from telemetry.tlog.note import SignedNote
from telemetry.tlog.proofs import tree_root
from telemetry.tlog.texts import MalformedText
from telemetry.verification.snapshot import instance_snapshot, stream
from threada_site.kernel import errors
from threada_site.tenancy.models import Tenant

ENTRIES_FILE: Final = "entries.txt"
CHECKPOINTS_FILE: Final = "heads.txt"
_LINES_AT_ONCE: Final = 2000
_ENTRIES: Final = 'SELECT note FROM telemetry_instanceentry WHERE "index" < %s ORDER BY "index"'
_README: Final = """\
The log of a Threada instance: the signed checkpoints of its tenants' logs, in the order of sealing.

    python3 threada_verify.py --key KEY {archive} --against OLDER

KEY is the public key of the instance or of any of its logs. Get it, and threada_verify.py, from a source you trust.
OLDER is an older checkpoint of this log that you saved, such as checkpoint.txt of an earlier export. It proves that
nothing was removed from this log since, and that every tenant in it still exists and continues its log.

checkpoint.txt   the newest checkpoint of this log (https://c2sp.org/tlog-checkpoint)
entries.txt      its leaves: entry n is the nth note, including its signatures (RFC 6962)
heads.txt        the newest checkpoint of each tenant in the database
"""


def instance_archive(name: str) -> Iterator[bytes]:
    """Yield the bytes of a zip of one snapshot. Raises `CheckpointNotSealed`."""
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
    """Return the tenant's newest checkpoint not larger than its newest entry, if the rows still produce its root."""
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
    """Return the log size in the entry, or `default` if the entry was changed and cannot be parsed."""
    try:
        return SignedCheckpointText.parse(SignedNote.parse(entry.note).text).size
    except MalformedText:
        return default
