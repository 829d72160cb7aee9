from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.tenants import set_quota
from threada_site.tenancy.management.base import TenantCommand
from threada_site.tenancy.quotas.kinds import Quota
from threada_site.tenancy.quotas.usage import usage_of


class Command(TenantCommand):
    help = "Show what a tenant uses of its quotas; set a quota, or return it to the instance's default."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["show", "set", "reset"])
        parser.add_argument("quota", nargs="?", choices=[kind.value for kind in Quota])
        parser.add_argument("limit", nargs="?", type=int)
        parser.add_argument("--tenant", required=True, metavar="SLUG")

    def run_command(self, **options: Any) -> None:
        action, named, limit = options["action"], options["quota"], options["limit"]
        if action != "show" and (named is None or (limit is None) is (action == "set")):
            self.misuse("quota set QUOTA LIMIT, or quota reset QUOTA.")
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            if action != "show":
                set_quota(Quota(named), limit, ctx=ctx)
            for usage in usage_of(ctx.tenant_id):
                if named in (None, usage.kind):
                    source = "operator" if usage.is_own else "default"
                    self.stdout.write(f"{usage.kind.value} {usage.used} of {usage.most} ({source})")
