from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.providers.domain_records import record_name, record_text
from threada_site.identity.providers.domains import check_domains, confirm_domain, domain_of, withdraw_domain
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    help = "Confirm or withdraw a mail domain of a tenant, show its TXT record, or check the TXT records in DNS."
    uses_keys = True

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["confirm", "withdraw", "record", "check"])
        parser.add_argument("domain", nargs="?")
        parser.add_argument("--provider", metavar="ID", help="identity provider that lists the domain (confirm)")
        parser.add_argument("--tenant", required=True, metavar="SLUG")

    def run_command(self, **options: Any) -> None:
        action, domain, provider = options["action"], domain_of(options["domain"] or ""), options["provider"]
        if (action == "check") is bool(domain) or (action == "confirm") is not bool(provider):
            self.misuse("sign_in_domain confirm DOMAIN --provider ID, withdraw DOMAIN, record DOMAIN, or check.")
        ctx = self.command_context(options["tenant"])
        if action == "record":
            self.stdout.write(f'{record_name(domain)}. IN TXT "{record_text(domain, ctx.tenant_id)}"')
            return
        if action == "check":
            for name, found in check_domains(ctx=ctx).items():
                self.stdout.write(f"{name}: {found}")
            return
        with unit_of_work(ctx.tenant_id):
            if action == "confirm":
                confirm_domain(domain, provider, ctx=ctx)
            else:
                withdraw_domain(domain, ctx=ctx)
