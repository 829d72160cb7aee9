from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.tenants import set_browser_origins
from threada_site.kernel.errors import InvalidRequest
from threada_site.tenancy.browser_origins import browser_origins
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    help = "List the web pages, by origin, that may call the API of a tenant from a browser; add or remove one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["list", "add", "remove"])
        parser.add_argument("origin", nargs="*", metavar="ORIGIN", help="for example https://app.example")
        parser.add_argument("--tenant", required=True, metavar="SLUG")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        named = set(options["origin"])
        with unit_of_work(ctx.tenant_id):
            before = set(browser_origins(ctx.tenant_id))
            after = {"list": before, "add": before | named, "remove": before - named}[options["action"]]
            try:
                set_browser_origins(after, ctx=ctx)
            except InvalidRequest as error:
                self.refuse(error.detail)
            for origin in browser_origins(ctx.tenant_id):
                self.stdout.write(origin)
