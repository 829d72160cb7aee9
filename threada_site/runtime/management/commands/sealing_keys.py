from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from telemetry.selectors import newest_checkpoint
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    help = "Print the public keys (vkeys) of a tenant's log, in the form that verifiers use."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True)

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            checkpoint = newest_checkpoint(ctx.tenant_id)
        if checkpoint is None:
            self.refuse("Nothing of this tenant is sealed yet.")
        for key in checkpoint.verifier_keys:
            self.stdout.write(key)
