from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.dependence import confirm_account
from threada_site.identity.selectors import principal_of_tenant
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    help = (
        "Confirm that a person alone controls the account. From then on the person counts as independent of those who "
        "invited the person, reset the password or issued a credential. Prints the person's id."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--principal", required=True, metavar="NAME", help="the person")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            person = principal_of_tenant(ctx.tenant_id, options["principal"])
            if person is None:
                self.refuse("There is no such person in this tenant.")
            confirm_account(person, ctx=ctx)
        self.stdout.write(person.public_id)
