from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandParser

from telemetry.services.exports import create_export, stream_ndjson
from threada_site.tenancy.management.base import TenantCommand
from threada_site.tenancy.unit_of_work import unit_of_work


class Command(TenantCommand):
    help = "Write a tenant's receipts to standard output, one JSON object a line, byte for byte as they were hashed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument(
            "--from", dest="created_after", metavar="INSTANT", help="RFC 3339; 31 days back unless said"
        )
        parser.add_argument("--to", dest="created_before", metavar="INSTANT", help="RFC 3339; now unless said")
        parser.add_argument("--format", choices=["ndjson"], default="ndjson")

    def act(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        filters = {name: options[name] for name in ("created_after", "created_before") if options[name]}
        with unit_of_work(ctx.tenant_id):
            export = create_export(filters, ctx=ctx)
        for batch in stream_ndjson(export):
            sys.stdout.buffer.write(batch)
        sys.stdout.buffer.flush()
