"""Base of commands about one person, in the first tenant of the person."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.selectors import tenants_of_person
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.management.base import TenantCommand
from threada_site.tenancy.models import User


class PersonCommand(TenantCommand):
    """Command with the option `--principal`. Subclasses implement `run_for`."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--principal", required=True, metavar="NAME", help="the person")

    def run_command(self, **options: Any) -> None:
        person = User.objects.filter(username=options["principal"], kind=PrincipalKind.HUMAN.value).first()
        tenants = tenants_of_person(person) if person is not None else []
        if person is None or not tenants:
            self.refuse("There is no person with this name who is a member of a tenant.")
        ctx = self.command_context(tenants[0].slug)
        with unit_of_work(ctx.tenant_id):
            result = self.run_for(person, ctx=ctx)
        self.stdout.write(result)

    def run_for(self, person: User, *, ctx: ActingContext) -> str:
        """Run the command in a unit of work of the tenant. Return its output."""
        raise NotImplementedError
