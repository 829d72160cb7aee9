from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.owners import set_owner, without_known_owner
from threada_site.identity.selectors import principal_of_tenant
from threada_site.tenancy.management.base import TenantCommand
from threada_site.tenancy.models import Tenant, User


class Command(TenantCommand):
    help = (
        "Name the person who owns an agent or a service, or all of a tenant that have no known owner. Prints their "
        "names. The people who may decide about their requests are then known: everybody but the owner and those who "
        "control the agent or service otherwise."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("owner", metavar="NAME", help="the person, an active member of the tenant")
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--of", metavar="MACHINE", help="the agent or service")
        which.add_argument(
            "--all-of-tenant", metavar="SLUG", help="every agent and service of this tenant without a known owner"
        )
        parser.add_argument(
            "--tenant", metavar="SLUG", help="the tenant of the agent or service; needed if several have this name"
        )

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["all_of_tenant"] or options["tenant"] or self._tenant_of(options["of"]))
        with unit_of_work(ctx.tenant_id):
            if options["all_of_tenant"]:
                machines = [member.user for member in without_known_owner(ctx.tenant_id)]
            else:
                machine = principal_of_tenant(ctx.tenant_id, options["of"])
                if machine is None:
                    self.refuse(f"There is no agent or service {options['of']!r} in the tenant {ctx.tenant_slug}.")
                machines = [machine]
            for machine in machines:
                set_owner(machine, options["owner"], ctx=ctx)
            remaining = without_known_owner(ctx.tenant_id).filter(user__in=machines)
            unknown = list(remaining.values_list("user__username", flat=True))
        for machine in machines:
            self.stdout.write(machine.username)
        for name in unknown:
            self.stderr.write(
                f"{name} is not known to the end yet: the agent or service that added it, issued a credential for it "
                "or maps it has no known owner, or the owner has not accepted the invitation."
            )

    def _tenant_of(self, name: str) -> str:
        found = Tenant.objects.filter(
            id__in=User.objects.filter(username=name, home_tenant__isnull=False).values("home_tenant_id")
        )
        slugs = list(found.order_by("slug").values_list("slug", flat=True))
        if not slugs:
            self.refuse(f"There is no agent or service {name!r}.")
        if len(slugs) > 1:
            self.misuse(f"Several tenants have an agent or service {name!r}. Name one with --tenant SLUG.")
        return slugs[0]
