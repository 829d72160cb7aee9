from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.tenants import personal_token_days, set_personal_token_days
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    help = "Show or set the longest life of personal tokens in a tenant, in days."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--days", type=int, help="the longest life from now on; tokens that exist keep theirs")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            if options["days"] is not None:
                set_personal_token_days(options["days"], ctx=ctx)
            days = personal_token_days(ctx.tenant_id)
        self.stdout.write(f"{days} days")
