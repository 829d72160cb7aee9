from __future__ import annotations

from typing import Any

import orjson
from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.departure.end import end_membership
from threada_site.identity.departure.outcome import DepartureReason
from threada_site.identity.selectors import principal_of_tenant
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    help = (
        "End the membership of a person, service or agent, with its sessions, tokens, delegations and claims here. "
        "Prints what ended, as in the receipt."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--principal", required=True, metavar="NAME")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            principal = principal_of_tenant(ctx.tenant_id, options["principal"])
            if principal is None:
                self.refuse("There is no such account in this tenant.")
            departure = end_membership(principal, reason=DepartureReason.REMOVED, ctx=ctx)
        self.stdout.write(orjson.dumps(departure.as_outcome(), option=orjson.OPT_INDENT_2).decode())
