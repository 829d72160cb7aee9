from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from telemetry.models import QuarantineCount
from telemetry.receipts.quarantine import IN_WORDS, decide_quarantined, quarantined
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.clock import rfc3339
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    help = "List receipts that the sealer refused, and accept them into the log or discard them."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="does", required=True)
        listed = actions.add_parser("list", help="print the refused receipts of a tenant")
        listed.add_argument("--tenant", required=True, help="the tenant's slug")
        for name, does in (
            ("accept", "append them to the log: the operator vouches for them"),
            ("discard", "delete them: they are no receipts of this tenant"),
        ):
            action = actions.add_parser(name, help=does)
            action.add_argument("receipts", nargs="*", metavar="RECEIPT", help="ids of receipts (rc_…)")
            action.add_argument("--all", action="store_true", help="every receipt in quarantine")
            action.add_argument("--tenant", required=True, help="the tenant's slug")
            action.add_argument("--reason", required=True, help="the reason, stored in the receipt of the decision")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        if options["does"] == "list":
            with unit_of_work(ctx.tenant_id):
                rows = quarantined(ctx.tenant_id)
                beyond = QuarantineCount.objects.filter(tenant_id=ctx.tenant_id).values_list("receipts", flat=True)
                for row in rows:
                    kind = (row.receipt or {}).get("kind", "-")
                    self.stdout.write(
                        f"{row.public_id} {kind} {rfc3339(row.refused_at)} {row.reason}: {IN_WORDS[row.reason]}"
                    )
                for number in beyond:
                    self.stdout.write(f"and {number} more, which are looked at again after these are decided")
            return
        if bool(options["receipts"]) == options["all"]:
            self.misuse("Name receipts, or say --all.")
        if not options["reason"].strip():
            self.misuse("--reason must say why.")
        accepts = options["does"] == "accept"
        with unit_of_work(ctx.tenant_id):
            rows = quarantined(ctx.tenant_id, options["receipts"])
            number = decide_quarantined(rows, accepts=accepts, reason=options["reason"].strip(), ctx=ctx)
        done = "appended to the log" if accepts else "deleted"
        self.stdout.write(f"{number} receipts are {done} in the next round of the sealer.")
