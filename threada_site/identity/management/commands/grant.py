from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.object_grants import grant_scope_on, object_named, object_scopes, withdraw_scope_on
from threada_site.identity.management.arguments import scopes
from threada_site.identity.selectors import principal_of_tenant
from threada_site.kernel.errors import NotFound
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    help = "Give a member scopes on one workflow or integration, or withdraw them. Prints the scopes it holds there."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--principal", required=True, metavar="NAME", help="member of the tenant")
        parser.add_argument("--scopes", required=True, type=scopes, help='such as "workitems:read decisions:decide"')
        target = parser.add_mutually_exclusive_group(required=True)
        target.add_argument("--workflow", metavar="ID")
        target.add_argument("--integration", metavar="ID")
        parser.add_argument("--withdraw", action="store_true", help="withdraw these scopes")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        kind = "workflow" if options["workflow"] is not None else "integration"
        with unit_of_work(ctx.tenant_id):
            principal = principal_of_tenant(ctx.tenant_id, options["principal"])
            if principal is None:
                self.refuse(f"There is no principal {options['principal']!r} in this tenant.")
            try:
                target = object_named(kind, options[kind], ctx=ctx)
            except NotFound:
                self.refuse(f"There is no {kind} {options[kind]!r} in this tenant.")
            change = withdraw_scope_on if options["withdraw"] else grant_scope_on
            for scope in sorted(options["scopes"]):
                change(principal, scope, target, ctx=ctx)
            held = object_scopes(principal, target)
        self.stdout.write(" ".join(sorted(scope.value for scope in held)) or "none")
