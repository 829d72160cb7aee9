from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser

from telemetry.exports.bodies import stream
from telemetry.exports.formats import FORMATS
from telemetry.exports.request import new_export, record_export
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    uses_keys = True
    help = (
        "Write a tenant's receipts to standard output. NDJSON contains the hashed bytes, unchanged. No format contains "
        "signatures of receipts; evidence does."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument(
            "--from", dest="created_after", metavar="INSTANT", help="RFC 3339; 31 days back unless said"
        )
        parser.add_argument("--to", dest="created_before", metavar="INSTANT", help="RFC 3339; now unless said")
        parser.add_argument("--format", choices=list(FORMATS), default="ndjson")
        parser.add_argument("--gzip", action="store_true", help="compress (Parquet: inside the file)")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        filters = {name: options[name] for name in ("created_after", "created_before") if options[name]}
        compression = "gzip" if options["gzip"] else "none"
        with unit_of_work(ctx.tenant_id):
            export = new_export(filters, ctx=ctx, file_format=options["format"], compression=compression)
            record_export(export, ctx=ctx, to="stdout")
        output = sys.stdout.buffer
        for block in stream(export):
            output.write(block)
        output.flush()
