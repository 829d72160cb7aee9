from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.four_eyes import end_four_eyes, turn_on_four_eyes
from threada_site.tenancy.four_eyes import FOUR_EYES, POLICY_FOUR_EYES, is_four_eyes_required
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    help = (
        "Require four eyes for publishing policies or lifting freezes of a tenant, or show the setting. Two people end "
        "the requirement in the console or through the API."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["require", "end", "show"])
        parser.add_argument("--rule", choices=FOUR_EYES, default=POLICY_FOUR_EYES, help="rule (policy_four_eyes)")
        parser.add_argument("--tenant", required=True, help="the tenant's slug")

    def run_command(self, **options: Any) -> None:
        rule = options["rule"]
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            if options["action"] == "require":
                turn_on_four_eyes(rule, ctx=ctx)
            elif options["action"] == "end":
                end_four_eyes(rule, ctx=ctx)
            is_required = is_four_eyes_required(ctx.tenant_id, rule)
        self.stdout.write(f"{rule}: {'on' if is_required else 'off'}")
