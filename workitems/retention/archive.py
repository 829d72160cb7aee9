"""Archiving of cases before retention removes them: all files are complete and on disk before anything is deleted.

Below `THREADA_ARCHIVE_DIR`, each tenant and run has a folder. `<batch>-rows.ndjson` contains the stored rows of the
cases, `<batch>-receipts.ndjson` the exact bodies of their receipts, `<batch>-evidence.zip` the same receipts with
proofs (for threada_verify.py), `<batch>-manifest.json` the digests of all files. A file gets its final name when it
is complete, the manifest last. The next attempt overwrites files of a batch that did not commit. Archives on other
machines: `archive_ahead`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from django.db import connection, models

from telemetry.exports.evidence import evidence_of
from telemetry.models import Receipt
from telemetry.selectors import newest_checkpoint
from threada_site.kernel import errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.personal_data.erasable_fields import is_erased
from workitems.file_storage.stored_files import read_stored
from workitems.models import Attachment, RetentionRun, StoredFile, WorkItem
from workitems.retention.case_tables import case_tables, rows_of
from workitems.retention.due import Phase

FORMAT: Final = "threada-archive/1"
RECEIPTS: Final = "receipts"


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file, with the digest that was verified by reading it back."""

    name: str
    sha256: str
    size: int
    lines: int | None = None

    def as_json(self) -> dict[str, Any]:
        lines = {} if self.lines is None else {"lines": self.lines}
        return {"name": self.name, "sha256": self.sha256, "size": self.size, **lines}


@dataclass(frozen=True, slots=True)
class Archived:
    """Files of one batch. `target` is the address of another machine, without secrets."""

    folder: str
    files: tuple[ArchivedFile, ...]
    target: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            **({"target": self.target} if self.target else {}),
            "folder": self.folder,
            "files": [{"name": file.name, "sha256": file.sha256, "size": file.size} for file in self.files],
        }


def archive_batch(
    folder: Path, run: RetentionRun, phase: Phase, items: Sequence[WorkItem], *, ctx: ActingContext
) -> Archived:
    """Archive the data that a batch will remove, in the tenant's local folder. Raise `ArchiveUnavailable`."""
    place = folder / run.public_id
    number = number_of(run)
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        files = write_parts(place, f"{number}-", phase, items, ctx=ctx)
        manifest = manifest_of(run, files, cases=len(items), ctx=ctx)
        files.append(write_bytes(place / f"{number}-manifest.json", manifest))
        for level in (place, folder, folder.parent):
            _sync(level)
    except OSError as error:
        raise errors.ArchiveUnavailable(
            f"The archive {place} cannot be written: {error.strerror or error}. Nothing was removed."
        ) from error
    return Archived(folder_of(run, ctx=ctx), tuple(files))


def folder_of(run: RetentionRun, *, ctx: ActingContext) -> str:
    """Return the folder of a run, relative to the archive."""
    return f"{ctx.tenant_slug}/{run.public_id}"


def number_of(run: RetentionRun) -> str:
    """Return the number of the next batch as it is used in file names."""
    return f"{run.batches + 1:06d}"


def write_parts(
    place: Path, prefix: str, phase: Phase, items: Sequence[WorkItem], *, ctx: ActingContext
) -> list[ArchivedFile]:
    """Write all files of a batch except the manifest to a local folder. Raise `OSError`."""
    parts = parts_of(phase, items, ctx=ctx)
    files = [_write(place / f"{prefix}{name}.ndjson", lines, has_lines=True) for name, lines in parts.items()]
    head = newest_checkpoint(ctx.tenant_id)
    if RECEIPTS in parts and head is not None and head.note:
        receipts = place / f"{prefix}{RECEIPTS}.ndjson"
        evidence = evidence_of(receipts, name=f"{prefix}evidence", checkpoint=head, whole_log=0)
        files.append(_write(place / f"{prefix}evidence.zip", evidence))
    return files


def parts_of(phase: Phase, items: Sequence[WorkItem], *, ctx: ActingContext) -> dict[str, Iterator[bytes]]:
    """Return the lines of each part: rows of the cases, their files if there are any, receipts if cases are removed."""
    item_ids = [item.id for item in items]
    parts = {"rows": _rows(item_ids, ctx=ctx)}
    files = _files_of(item_ids, ctx=ctx)
    if files:
        parts["attachments"] = _files(files)
    return parts | ({RECEIPTS: _receipts(item_ids, ctx=ctx)} if phase == "remove_case" else {})


def manifest_of(run: RetentionRun, files: Sequence[ArchivedFile], *, cases: int, ctx: ActingContext) -> bytes:
    """Return the manifest. It is written last and marks a complete batch."""
    manifest = {
        "format": FORMAT,
        "tenant": ids.public_id(ids.TENANT, ctx.tenant_id),
        "retention_run_id": run.public_id,
        "as_of": rfc3339(run.as_of),
        "rules": run.rules,
        "cases": cases,
        "files": [file.as_json() for file in files],
    }
    return orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def digest_of(lines: Iterable[bytes]) -> str:
    """Return the SHA-256 of a file that consists of these lines."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


def write_bytes(path: Path, data: bytes) -> ArchivedFile:
    """Write a small file. Raise `OSError`."""
    return _write(path, [data])


def _write(path: Path, chunks: Iterable[bytes], *, has_lines: bool = False) -> ArchivedFile:
    """Write a file, sync it to disk, read it back, and rename it to its final name."""
    partial = path.with_name(f".{path.name}.partial")
    digest, size, count = hashlib.sha256(), 0, 0
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for chunk in chunks:
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        with partial.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest.hexdigest():
            raise OSError(f"{path.name} reads back as {found}, not as {digest.hexdigest()}")
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return ArchivedFile(path.name, digest.hexdigest(), size, count if has_lines else None)


def _sync(folder: Path) -> None:
    """Sync the directory entries of a folder to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _rows(item_ids: Sequence[uuid.UUID], *, ctx: ActingContext) -> Iterator[bytes]:
    """Yield one line `{"table": …, "row": {…}}` per row of the cases. Encrypted contents stay encrypted."""
    tables: list[tuple[type[models.Model], Any]] = [
        (WorkItem, WorkItem.objects.filter(tenant_id=ctx.tenant_id, id__in=item_ids))
    ]
    tables += [(model, rows_of(model, path, item_ids, tenant_id=ctx.tenant_id)) for model, path in case_tables()]
    for model, rows in tables:
        table = model._meta.db_table
        inner, parameters = rows.order_by("id").values("id").query.sql_with_params()
        sql = f'SELECT to_jsonb(t)::text FROM "{table}" t WHERE t.id IN ({inner}) ORDER BY t.id'
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            for (row,) in cursor:
                yield b'{"table":"%s","row":%s}\n' % (table.encode(), row.encode())


def _files_of(item_ids: Sequence[uuid.UUID], *, ctx: ActingContext) -> list[StoredFile]:
    """Return the stored files of the cases whose contents were not removed."""
    rows = Attachment.objects.filter(tenant_id=ctx.tenant_id, work_item_id__in=item_ids)
    kept = [row.id for row in rows if not is_erased(row.file_key)]
    return list(StoredFile.objects.filter(tenant_id=ctx.tenant_id, id__in=kept).order_by("id"))


def _files(files: Sequence[StoredFile]) -> Iterator[bytes]:
    """Yield one line `{"attachment_id": …, "content": …}` per file: base64 of the file as stored, encrypted.

    The key is in the row of the attachment. The content of a file that no longer exists is null.
    """
    for file in files:
        try:
            content: str | None = base64.b64encode(read_stored(file.path)).decode()
        except FileNotFoundError:
            content = None
        except Exception as failure:
            raise OSError(f"the storage of attachments does not answer: {failure}") from failure
        line = {"attachment_id": ids.public_id(ids.ATTACHMENT, file.id), "content": content}
        yield orjson.dumps(line) + b"\n"


def _receipts(item_ids: Sequence[uuid.UUID], *, ctx: ActingContext) -> Iterator[bytes]:
    """Yield the stored bodies, oldest first, one per line. Canonical JSON contains no line breaks."""
    rows = Receipt.objects.filter(tenant_id=ctx.tenant_id, work_item_id__in=item_ids).order_by("id")
    for body in rows.values_list("body", flat=True):
        yield bytes(body) + b"\n"
