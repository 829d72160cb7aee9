from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.dependence import confirm_account
from threada_site.identity.providers.provisioned import unconfirmed_people
from threada_site.identity.selectors import principal_of_tenant
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.management.base import TenantCommand
from threada_site.tenancy.models import User


class Command(TenantCommand):
    help = (
        "Confirm that a person alone controls the account. From then on the person counts as independent of those who "
        "invited or provisioned the person, reset the password or issued a credential. Prints the person's id."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        whom = parser.add_mutually_exclusive_group(required=True)
        whom.add_argument("--principal", metavar="NAME", help="the person")
        whom.add_argument(
            "--provisioned",
            action="store_true",
            help="everybody whom a provisioning client added, except for people whom it gave another external id since",
        )

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            people = list(unconfirmed_people(ctx.tenant_id)) if options["provisioned"] else [self._named(options, ctx)]
            for person in people:
                confirm_account(person, ctx=ctx)
        for person in people:
            self.stdout.write(person.public_id)

    def _named(self, options: dict[str, Any], ctx: ActingContext) -> User:
        person = principal_of_tenant(ctx.tenant_id, options["principal"])
        if person is None:
            self.refuse("There is no such person in this tenant.")
        return person
