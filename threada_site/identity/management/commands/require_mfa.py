from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.tenants import requires_mfa, set_require_mfa
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    help = "Require a second factor of stewards and approvers of a tenant, end that, or show the setting."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["on", "off", "show"])
        parser.add_argument("--tenant", required=True, metavar="SLUG")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            if options["action"] != "show":
                set_require_mfa(options["action"] == "on", ctx=ctx)
            is_required = requires_mfa(ctx.tenant_id)
        self.stdout.write(f"require_mfa: {'on' if is_required else 'off'}")
