"""Archiving to another machine before removal: files are sent outside of transactions and verified before removal.

1. In a unit of work, the files of the next batch are written to a local folder (`spool`).
2. Outside of a unit of work, they are sent to the target and read back (`send`).
3. The unit of work that removes reads the same rows again under their locks. It removes them only if they produce the
same bytes (`Ahead.contains`). Otherwise the batch is archived again.

File names contain a digest of the batch, so that concurrent or repeated attempts do not overwrite each other's files.
No receipt names the files of an attempt that removed nothing.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from django.conf import settings

from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import sha256_hex
from workitems.models import RetentionRun, WorkItem
from workitems.retention.archive import (
    Archived,
    ArchivedFile,
    digest_of,
    folder_of,
    manifest_of,
    number_of,
    parts_of,
    write_bytes,
    write_parts,
)
from workitems.retention.archive_target import Target
from workitems.retention.due import Phase

_LEFT_BEHIND_S: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Ahead:
    """A batch whose files are written locally and, after `send`, stored on the target."""

    run_id: uuid.UUID
    number: str
    phase: Phase
    parts: dict[str, str]
    """SHA-256 of the rows and of the receipts."""
    files: tuple[tuple[Path, ArchivedFile], ...]
    archived: Archived
    scratch: Path

    def contains(self, run: RetentionRun, phase: Phase, items: Sequence[WorkItem], *, ctx: ActingContext) -> bool:
        """Return True if the archived bytes are equal to the current rows of these cases. Reads all of them."""
        if (self.run_id, self.number, self.phase) != (run.id, number_of(run), phase):
            return False
        return self.parts == {name: digest_of(lines) for name, lines in parts_of(phase, items, ctx=ctx).items()}


def archive_target(ctx: ActingContext) -> Path | Target:
    """Return the tenant's local folder or the target machine. Raise `ArchiveUnavailable` if none is set."""
    if settings.THREADA_ARCHIVE_URL:
        if settings.THREADA_ARCHIVE_DIR:
            raise errors.ArchiveUnavailable(
                "THREADA_ARCHIVE_DIR and THREADA_ARCHIVE_URL are both set. Unset one. Nothing was removed."
            )
        if settings.THREADA_ARCHIVE_URL.startswith("file:///"):
            return Path(settings.THREADA_ARCHIVE_URL.removeprefix("file://")) / ctx.tenant_slug
        return Target(settings.THREADA_ARCHIVE_URL, settings.THREADA_ARCHIVE_OPTIONS_FILE)
    if not settings.THREADA_ARCHIVE_DIR:
        raise errors.ArchiveUnavailable(
            "A retention rule archives; set THREADA_ARCHIVE_DIR or THREADA_ARCHIVE_URL. Nothing was removed."
        )
    return Path(settings.THREADA_ARCHIVE_DIR) / ctx.tenant_slug


@contextmanager
def spooling() -> Iterator[Path]:
    """Yield a temporary local folder for one batch. Remove it afterwards, and folders left by killed processes."""
    folder: Path = settings.THREADA_ARCHIVE_SPOOL_DIR
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.iterdir():
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < time.time() - _LEFT_BEHIND_S:
                    shutil.rmtree(left, ignore_errors=True)
        own = Path(tempfile.mkdtemp(dir=folder))
    except OSError as error:
        raise _disk_full(error) from error
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)


def spool(
    target: Target, own: Path, run: RetentionRun, phase: Phase, items: Sequence[WorkItem], *, ctx: ActingContext
) -> Ahead:
    """Write the files of a batch to the local folder `own`. Raise `ArchiveUnavailable`."""
    try:
        written = write_parts(own, "", phase, items, ctx=ctx)
        number = number_of(run)
        prefix = f"{number}-{sha256_hex(b''.join(file.sha256.encode() for file in written))[:12]}-"
        files = [(own / file.name, replace(file, name=prefix + file.name)) for file in written]
        manifest = manifest_of(run, [file for _, file in files], cases=len(items), ctx=ctx)
        last = write_bytes(own / "manifest.json", manifest)
    except OSError as error:
        raise _disk_full(error) from error
    files.append((own / last.name, replace(last, name=prefix + last.name)))
    return Ahead(
        run_id=run.id,
        number=number,
        phase=phase,
        parts={file.name.removesuffix(".ndjson"): file.sha256 for file in written if file.name.endswith(".ndjson")},
        files=tuple(files),
        archived=Archived(folder_of(run, ctx=ctx), tuple(file for _, file in files), target.shown),
        scratch=own,
    )


def send(target: Target, ahead: Ahead) -> None:
    """Send all files that `spool` wrote, the manifest last. Call it outside of transactions."""
    target.send(ahead.files, folder=ahead.archived.folder, scratch=ahead.scratch)


def _disk_full(error: OSError) -> errors.ArchiveUnavailable:
    folder = settings.THREADA_ARCHIVE_SPOOL_DIR
    return errors.ArchiveUnavailable(
        f"The spool folder of archives {folder} cannot be written: {error.strerror or error}. Nothing was removed."
    )
