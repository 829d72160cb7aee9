"""The archive that an auditor gets for a period: receipts with proofs, access, configuration, proof, controls."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from typing import IO

from telemetry.exports.evidence import open_evidence
from telemetry.exports.job import make_export
from telemetry.exports.models import TelemetryExport
from telemetry.exports.request import create_export
from telemetry.lifecycle import ExportStatus
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from workitems.configuration.export import configuration_files
from workitems.proof.access import access_csv, reviews_csv
from workitems.proof.controls import framework_markdown
from workitems.proof.prove import prove


def write_evidence(out: IO[bytes], framework: str, since: str, until: str, *, ctx: ActingContext) -> None:
    """Write the archive of receipts from `since` on and before `until` (RFC 3339): a zip with the digests of its files.

    Raise `ThreadaError` if the export cannot be made or is not sealed yet.
    """
    export = _export(since, until, ctx=ctx)
    with unit_of_work(ctx.tenant_id):
        receipts = open_evidence(export).content
        access, reviews = access_csv(ctx), reviews_csv(ctx)
        documents = configuration_files(ctx)
    digests: dict[str, str] = {}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:

        def add(name: str, parts: Iterator[bytes]) -> None:
            digest = hashlib.sha256()
            with archive.open(name, "w", force_zip64=True) as member:
                for part in parts:
                    digest.update(part)
                    member.write(part)
            digests[name] = digest.hexdigest()

        add("receipts-evidence.zip", receipts)
        add("access.csv", iter([access.encode()]))
        add("access-reviews.csv", iter([reviews.encode()]))
        for path, text in sorted(documents.items()):
            add(f"configuration/{path}", iter([text.encode()]))
        add("proof.json", iter([json.dumps(prove(ctx).as_json(), indent=2, ensure_ascii=False).encode()]))
        add("controls.md", iter([framework_markdown(framework).encode()]))
        listed = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
        archive.writestr("SHA256SUMS", listed)


def _export(since: str, until: str, *, ctx: ActingContext) -> TelemetryExport:
    """Return a ready export of the period."""
    filters = {"created_after": since, "created_before": until}
    with unit_of_work(ctx.tenant_id):
        export = create_export(filters, ctx=ctx)
    if export.status == ExportStatus.REQUESTED:
        make_export(export.id, ctx=ctx)
        with unit_of_work(ctx.tenant_id):
            export.refresh_from_db()
    if export.status != ExportStatus.READY:
        raise errors.ExportNotReady(f"The export {export.public_id} is {export.status}. Run the command again later.")
    return export
