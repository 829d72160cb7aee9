"""Archiving what retention is about to remove: files that are whole and on disk before anything is deleted.

Below `THREADA_ARCHIVE_DIR`, one folder a tenant and run: `<batch>-rows.ndjson` holds the rows of the cases as they are
stored, `<batch>-receipts.ndjson` the bodies of their receipts byte for byte, `<batch>-manifest.json` the digests of
both. A file appears under its name only when it is complete; one left by a batch that did not commit is written over by
the next try.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings
from django.db import connection, models

from telemetry.models import Receipt
from threada_site.kernel import errors, ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from workitems.models import RetentionRun, WorkItem
from workitems.retention.case_tables import case_tables, rows_of

FORMAT: Final = "threada-archive/1"


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A file as it was read back after it had been written."""

    name: str
    sha256: str
    size: int
    lines: int


@dataclass(frozen=True, slots=True)
class Archived:
    """The files of one batch."""

    folder: str
    files: tuple[ArchivedFile, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "folder": self.folder,
            "files": [{"name": file.name, "sha256": file.sha256, "size": file.size} for file in self.files],
        }


def require_archive(ctx: ActingContext) -> Path:
    """The tenant's folder. Raises `ArchiveUnavailable` where the instance has none."""
    if not settings.THREADA_ARCHIVE_DIR:
        raise errors.ArchiveUnavailable("A rule says archive, and THREADA_ARCHIVE_DIR is not set. Nothing was removed.")
    return Path(settings.THREADA_ARCHIVE_DIR) / ctx.tenant_slug


def archive_contents(folder: Path, run: RetentionRun, items: Sequence[WorkItem], *, ctx: ActingContext) -> Archived:
    """The rows of these cases, before their contents are emptied."""
    return _archive(folder, run, {"rows": _rows([item.id for item in items], ctx=ctx)}, cases=len(items), ctx=ctx)


def archive_cases(folder: Path, run: RetentionRun, items: Sequence[WorkItem], *, ctx: ActingContext) -> Archived:
    """The rows and the receipts of these cases, before they are deleted."""
    item_ids = [item.id for item in items]
    parts = {"rows": _rows(item_ids, ctx=ctx), "receipts": _receipts(item_ids, ctx=ctx)}
    return _archive(folder, run, parts, cases=len(items), ctx=ctx)


def _archive(
    folder: Path, run: RetentionRun, parts: dict[str, Iterator[bytes]], *, cases: int, ctx: ActingContext
) -> Archived:
    place = folder / run.public_id
    number = f"{run.batches + 1:06d}"
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        files = [_write(place / f"{number}-{name}.ndjson", lines) for name, lines in parts.items()]
        manifest = {
            "format": FORMAT,
            "tenant": ids.public_id(ids.TENANT, ctx.tenant_id),
            "retention_run_id": run.public_id,
            "as_of": rfc3339(run.as_of),
            "rules": run.rules,
            "cases": cases,
            "files": [
                {"name": file.name, "sha256": file.sha256, "size": file.size, "lines": file.lines} for file in files
            ],
        }
        files.append(_write(place / f"{number}-manifest.json", [orjson.dumps(manifest, option=orjson.OPT_INDENT_2)]))
        for level in (place, folder, folder.parent):
            _sync(level)
    except OSError as error:
        raise errors.ArchiveUnavailable(
            f"The archive {place} cannot be written: {error.strerror or error}. Nothing was removed."
        ) from error
    return Archived(f"{ctx.tenant_slug}/{run.public_id}", tuple(files))


def _write(path: Path, lines: Iterable[bytes]) -> ArchivedFile:
    """Write, force to disk, read back, and only then let it appear under its name."""
    partial = path.with_name(f".{path.name}.partial")
    digest, size, count = hashlib.sha256(), 0, 0
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for line in lines:
                file.write(line + b"\n")
                digest.update(line + b"\n")
                size += len(line) + 1
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
    return ArchivedFile(path.name, digest.hexdigest(), size, count)


def _sync(folder: Path) -> None:
    """Force the names in a folder to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _rows(item_ids: Sequence[uuid.UUID], *, ctx: ActingContext) -> Iterator[bytes]:
    """`{"table": …, "row": {…}}` for every row of the cases, as PostgreSQL writes it: contents are not opened."""
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
                yield b'{"table":"%s","row":%s}' % (table.encode(), row.encode())


def _receipts(item_ids: Sequence[uuid.UUID], *, ctx: ActingContext) -> Iterator[bytes]:
    """The stored bodies, oldest first: canonical JSON holds no line break, so a line is a receipt."""
    rows = Receipt.objects.filter(tenant_id=ctx.tenant_id, work_item_id__in=item_ids).order_by("id")
    for body in rows.values_list("body", flat=True):
        yield bytes(body)
