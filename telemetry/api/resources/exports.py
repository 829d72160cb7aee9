"""Resources of exports, and the files they deliver."""

from __future__ import annotations

from typing import Final

from telemetry.exports.formats import COMPRESSIONS, FORMATS
from telemetry.lifecycle import ExportStatus
from threada_site.api.resources.field_types import (
    COUNT,
    INSTANT,
    MAYBE_INSTANT,
    MAYBE_INTEGER,
    MAYBE_TEXT,
    OBJECT,
    TEXT,
    choice,
    inline,
    public_id,
)
from threada_site.api.resources.resource import Representation, Resource, field
from threada_site.kernel import ids

EXPORT: Final = Resource(
    "TelemetryExport",
    field("export_id", public_id(ids.EXPORT), "id"),
    field(
        "status",
        choice(ExportStatus),
        description="Poll until it is `ready`. Small exports are ready in the first response.",
    ),
    field("format", choice(FORMATS)),
    field("compression", choice(COMPRESSIONS)),
    field("filters", OBJECT),
    field("created_after", INSTANT),
    field("created_before", INSTANT),
    field("requested_by", public_id(ids.PRINCIPAL)),
    field("created_at", INSTANT),
    field("rows", COUNT, description="Receipts written, so far or in all."),
    field("rows_expected", MAYBE_INTEGER, description="An estimate, to show progress."),
    field("size", COUNT, description="Bytes of the file, so far or in all."),
    field("sha256", MAYBE_TEXT, description="SHA-256 of the file; its ETag too."),
    field(
        "failure",
        inline(
            field("reason_code", TEXT, "failure"),
            field("detail", TEXT, "failure_detail"),
            or_null=True,
            all_required=False,
        ),
        lambda export: export if export.failure else None,
        description="Reason of the failure. `POST …/retry` writes the export again.",
    ),
    field("started_at", MAYBE_INSTANT),
    field("ready_at", MAYBE_INSTANT),
    field("expires_at", MAYBE_INSTANT, description="Time when the file is deleted."),
    field("download_url", TEXT, lambda export: f"/telemetry/exports/{export.public_id}/download"),
)
DOWNLOAD: Final = Representation(
    "Receipts",
    {
        "type": "string",
        "description": "The file, in the format of the export. NDJSON: one receipt's canonical bytes a line, oldest "
        "first. Other formats are served as text/csv, application/vnd.apache.parquet, "
        "application/cloudevents-batch+json, and gzip as application/gzip.",
    },
    media_type="application/x-ndjson",
    is_download=True,
)
EVIDENCE: Final = Representation(
    "Evidence",
    {
        "type": "string",
        "description": "A zip of README.txt, receipts.ndjson, positions.txt, checkpoint.txt, tile/… "
        "(c2sp.org/tlog-tiles), and instance.tlog-proof if the checkpoint is in the instance log.",
    },
    media_type="application/zip",
    is_download=True,
)
VERIFIER: Final = Representation(
    "Verifier", {"type": "string", "description": "The source of threada_verify.py."}, media_type="text/x-python"
)
