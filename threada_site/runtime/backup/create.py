"""Creation of a backup."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.migrations.loader import MigrationLoader

from telemetry.log.key_file import KeyFileProblem
from telemetry.tlog.note import Signer, sign
from threada_site.kernel import clock
from threada_site.kernel.clock import rfc3339
from threada_site.postgres.binaries import locate
from threada_site.runtime.backup.archive import ArchiveWriter, Backup, Watch, blocks_of, new_archive
from threada_site.runtime.backup.contents import (
    CHECKPOINTS,
    FILES,
    KEYS,
    files_in,
    keys_as_bytes,
    keys_here,
    stored_folders,
)
from threada_site.runtime.backup.database import database, snapshot_of
from threada_site.runtime.backup.recovery_key import encrypt, fingerprint
from threada_site.runtime.sealer.process import sealing_anchor, sealing_key_file
from threada_site.tenancy.schema.version import schema_problem

DUMP = "database.dump"
RECORDS = "idempotency_records.copy"
"""Member with the idempotency records, without the answers. Backups of earlier versions do not have it."""


@dataclass(frozen=True, slots=True)
class Created:
    """A finished backup. `left_out`: sentences about what it does not contain."""

    path: Path
    bytes: int
    left_out: list[str]


def create_backup(path: Path, *, recovery_key: str, watch: Watch) -> Created:
    """Write a backup of the instance to `path`. `recovery_key`: public half; without it, keys are left out.

    Raise `DatabaseProblem`, `BackupDamaged`, `RecoveryKeyProblem` and `OSError`; then there is no file.
    """
    left_out: list[str] = []
    facts: dict[str, Any] = {
        "made_at": rfc3339(clock.now()),
        "version": settings.THREADA_VERSION,
        "schema": known_migrations(),
        "postgresql": locate().version,
        "recovery_key": fingerprint(recovery_key) if recovery_key else None,
    }
    with new_archive(path, watch) as writer:
        # Checkpoints first: a restored database may be newer than its last checkpoint, and must not be older.
        _add_checkpoints(writer)
        with snapshot_of(database()) as snapshot:
            writer.add(RECORDS, snapshot.idempotency_records(), is_compressed=True)
            writer.add(DUMP, snapshot.dump())
        _add_files(writer, left_out)
        if recovery_key:
            sealed = encrypt(keys_as_bytes(keys_here()), public=recovery_key, bound_to=writer.binding(facts))
            writer.add(KEYS, [sealed])
        else:
            left_out.append(
                "Keys are not in this backup, because no recovery key is set (THREADA_BACKUP_RECOVERY_KEY). Without "
                "keys, stored secrets and contents of cases about people cannot be read. Store them apart from it."
            )
        if problem := schema_problem():
            left_out.append(problem)
        writer.finish(facts, signing(left_out))
    return Created(path, path.stat().st_size, left_out)


def records_in(backup: Backup) -> Iterable[bytes]:
    """Return the idempotency records of a backup as COPY reads them; none if its dump contains them."""
    return backup.blocks(RECORDS) if RECORDS in backup.members else ()


def known_migrations() -> dict[str, str]:
    """Return the newest migration of each application that this code knows."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    return dict(sorted(loader.graph.leaf_nodes()))


def _add_checkpoints(writer: ArchiveWriter) -> None:
    folder = sealing_anchor().directory
    for path in files_in(folder):
        writer.add(f"{CHECKPOINTS}/{path.relative_to(folder).as_posix()}", [path.read_bytes()], is_compressed=True)


def _add_files(writer: ArchiveWriter, left_out: list[str]) -> None:
    """Add the stored files. Files that are removed meanwhile are left out; so are those that retention will remove."""
    folders = stored_folders()
    for name, folder in folders.items():
        for path in files_in(folder):
            with suppress(FileNotFoundError), path.open("rb") as file:
                writer.add(f"{FILES}/{name}/{path.relative_to(folder).as_posix()}", blocks_of(file))
    if "attachments" not in folders:
        left_out.append("Attachments are in a storage outside of this machine: back that up with its own means.")


def signing(left_out: list[str]) -> Any:
    """Return the function that signs a text with the sealing key, or None if there is none here."""
    try:
        keys = sealing_key_file().keys()
    except KeyFileProblem as error:
        left_out.append(f"The backup is not signed: {error}")
        return None
    return lambda text: str(sign(text, [Signer(key.name, key.private_key) for key in keys]))
