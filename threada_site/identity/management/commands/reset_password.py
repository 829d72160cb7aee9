from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.urls import reverse

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.account_links import show_link
from threada_site.identity.passwords import start_reset
from threada_site.identity.selectors import tenants_of_person
from threada_site.kernel.context import PrincipalKind
from threada_site.tenancy.management.base import TenantCommand
from threada_site.tenancy.models import User

LOCAL = "http://localhost:8000"


class Command(TenantCommand):
    help = "Print a link, valid for one hour, with which a person sets a new password. All sessions of the person end."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--principal", required=True, metavar="NAME", help="the person")

    def run_command(self, **options: Any) -> None:
        person = User.objects.filter(username=options["principal"], kind=PrincipalKind.HUMAN.value).first()
        tenants = tenants_of_person(person) if person is not None else []
        if person is None or not tenants:
            self.refuse("There is no person with this name who is a member of a tenant.")
        ctx = self.command_context(tenants[0].slug)
        with unit_of_work(ctx.tenant_id):
            token = show_link(start_reset(person, ctx=ctx), ctx=ctx)
        address = reverse("admin:password_reset_link", args=[token])
        self.stdout.write((settings.THREADA_PUBLIC_URL.rstrip("/") or LOCAL) + address)
