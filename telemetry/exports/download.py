"""Download of the file of an export: the whole file or a byte range."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from django.utils.http import http_date

from telemetry.exports.byte_ranges import asked_range
from telemetry.exports.files import read_range
from telemetry.exports.formats import media_type
from telemetry.exports.request import path_of
from telemetry.lifecycle import ExportStatus
from telemetry.models import TelemetryExport
from threada_site.kernel import errors

log = structlog.get_logger("threada.exports")


@dataclass(frozen=True, slots=True)
class Download:
    """Status, headers and bytes of the response."""

    status: int
    headers: dict[str, str]
    content: Iterator[bytes]


def open_download(export: TelemetryExport, *, asked: str | None = None, if_range: str | None = None) -> Download:
    """Return the file of a ready export, or the byte range named by `asked` (a `Range` header).

    Raises `ExportNotReady`, `ExportGone` (expired, cancelled), `ExportTargetUnavailable`, `RangeNotSatisfiable`.
    """
    path = open_file(export)
    tag = f'"{export.sha256}"'
    part = asked_range(asked, if_range, size=export.size, etag=tag)
    start, length = (part.start, part.length) if part else (0, export.size)
    with _found(export, path):
        content = read_range(path, start, length)
    digest = base64.b64encode(bytes.fromhex(export.sha256)).decode()
    headers = {
        "Content-Type": media_type(export.format, export.compression),
        "Content-Length": str(length),
        "Content-Disposition": f'attachment; filename="{export.file_name}"',
        "Accept-Ranges": "bytes",
        "ETag": tag,
        "Last-Modified": http_date(export.ready_at.timestamp()) if export.ready_at else "",
        "Repr-Digest": f"sha-256=:{digest}:",
        "Cache-Control": "private, no-store",
    }
    if part is not None:
        headers["Content-Range"] = part.content_range
    return Download(206 if part else 200, headers, content)


def open_file(export: TelemetryExport) -> Path:
    """Return the path of the file of a ready export.

    Raises `ExportNotReady`, `ExportGone`, `ExportTargetUnavailable`.
    """
    _require_ready(export)
    path = path_of(export)
    with _found(export, path):
        if path.stat().st_size != export.size:
            raise OSError(f"{path} has another size than when it was written")
    return path


@contextmanager
def _found(export: TelemetryExport, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        log.warning("export_file_missing", export=export.public_id, path=str(path), error=str(failure))
        raise errors.ExportTargetUnavailable("The file of this export cannot be read. Create it again.") from failure


def _require_ready(export: TelemetryExport) -> None:
    match ExportStatus(export.status):
        case ExportStatus.READY:
            return
        case ExportStatus.EXPIRED | ExportStatus.CANCELLED:
            raise errors.ExportGone(f"The export is {export.status}; its file is deleted. Create the export again.")
        case ExportStatus.FAILED:
            raise errors.ExportNotReady(f"The export has failed ({export.failure}). Retry it.")
        case _:
            raise errors.ExportNotReady(headers={"Retry-After": "1"})
