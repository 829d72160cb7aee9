from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.tenants import create_tenant, founding_context
from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = "Create a tenant with the default roles. Prints its slug."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="a to z, 0 to 9, '-' and '_'; it cannot be changed")
        parser.add_argument("--name", default="", help="label for people (the slug)")

    def run_command(self, **options: Any) -> None:
        ctx = founding_context(options["slug"])
        with unit_of_work(ctx.tenant_id):
            tenant = create_tenant(options["slug"], options["name"], ctx=ctx)
        self.stdout.write(tenant.slug)
