from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.principals import add_member, ensure_principal
from threada_site.identity.selectors import is_member_somewhere
from threada_site.identity.tenants import create_tenant, founding_context
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.management.base import ProductCommand

_STEWARD = "tenant_admin"


class Command(ProductCommand):
    help = "Create a tenant with the default roles, and its first person. Prints its slug."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="a to z, 0 to 9, '-' and '_'; it cannot be changed")
        parser.add_argument("--name", default="", help="label for people (the slug)")
        parser.add_argument(
            "--steward", metavar="PERSON", help="first person: has every scope, may own agents and services"
        )
        parser.add_argument(
            "--join", action="store_true", help="the steward is a person of another tenant, whose account it stays"
        )

    def run_command(self, **options: Any) -> None:
        ctx = founding_context(options["slug"])
        steward = options["steward"]
        with unit_of_work(ctx.tenant_id):
            tenant = create_tenant(options["slug"], options["name"], ctx=ctx)
            if steward is not None:
                self._add_steward(steward, is_known=options["join"], ctx=ctx)
        self.stdout.write(tenant.slug)
        if steward is not None and not options["join"]:
            self.stderr.write(f"Set the password of {steward}: manage.py changepassword {steward}")

    def _add_steward(self, name: str, *, is_known: bool, ctx: ActingContext) -> None:
        person = ensure_principal(name, kind=PrincipalKind.HUMAN, ctx=ctx)
        if not is_known and is_member_somewhere(person):
            self.refuse(
                f"{name} is a person of another tenant, whose stewards chose the name.",
                "Choose another name, or add that account to this tenant with --join.",
            )
        add_member(person, ctx=ctx)
        grant_role(person, _STEWARD, ctx=ctx)
