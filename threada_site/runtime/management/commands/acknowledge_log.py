from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from telemetry.verification.acknowledge import acknowledge_log
from threada_site.database.unit_of_work import unit_of_work
from threada_site.runtime.sealer.process import sealing_anchor
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    help = (
        "Continue a log under a new origin: one that differs from the signed one (for example after restoring an older "
        "backup), or one that a clock that was ahead signed. Run it where the sealer runs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--tenant", help="slug of the tenant whose log it is")
        which.add_argument("--instance", action="store_true", help="the instance log (THREADA_INSTANCE_LOG)")
        parser.add_argument("--reason", required=True, help="the reason, stored with the log")

    def run_command(self, **options: Any) -> None:
        if not options["reason"].strip():
            self.misuse("--reason must say why.")
        if options["instance"]:
            if not settings.THREADA_INSTANCE_LOG:
                self.refuse("No instance log is kept. THREADA_INSTANCE_LOG=true turns it on.")
            from telemetry.instance_log.acknowledge import acknowledge_instance_log

            checkpoint = acknowledge_instance_log(sealing_anchor(), reason=options["reason"].strip())
            self.stdout.write(f"{checkpoint.origin} goes on from {checkpoint.size} checkpoints.")
            return
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            checkpoint = acknowledge_log(sealing_anchor(), reason=options["reason"].strip(), ctx=ctx)
        self.stdout.write(f"{checkpoint.origin} goes on from {checkpoint.size} receipts.")
