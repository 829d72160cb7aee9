from __future__ import annotations

import sys
from typing import Any, NamedTuple
from uuid import UUID

from django.core.management.base import CommandParser

from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.credentials import revoke_credential
from threada_site.identity.departure.access import end_access, ways_to_act
from threada_site.identity.selectors import credential_of_tenant, principal_of_tenant
from threada_site.kernel import ids, tokens
from threada_site.tenancy.management.base import TenantCommand
from threada_site.tenancy.models import Credential


class Place(NamedTuple):
    """Id and tenant of a credential."""

    credential_id: UUID
    tenant: str


class Command(TenantCommand):
    help = (
        "Revoke a credential immediately and print its id; with --principal, list and end everything through which a "
        "principal can act in a tenant: tokens, mappings of trusted issuers, links, passkeys, sessions, permits, "
        "delegations."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "credential", nargs="?", help="its id (cr_…), its token (thr_…), or - to read either from stdin"
        )
        parser.add_argument("--principal", metavar="NAME", help="end everything through which this member can act")
        parser.add_argument("--tenant", metavar="SLUG", help="refuse unless it belongs to this tenant")
        parser.add_argument("--plan", action="store_true", help="with --principal: list it, and change nothing")

    def run_command(self, **options: Any) -> None:
        text = options["credential"]
        if (text is None) is (options["principal"] is None):
            self.misuse("Name a credential, or --principal NAME --tenant SLUG.")
        if text is None:
            self._end_access(options["principal"], options["tenant"], is_plan=options["plan"])
            return
        place = self._place((sys.stdin.readline() if text == "-" else text).strip())
        if place is None or options["tenant"] not in (None, place.tenant):
            self.refuse("There is no such credential.")
        ctx = self.command_context(place.tenant)
        with unit_of_work(ctx.tenant_id):
            credential = credential_of_tenant(ctx.tenant_id, place.credential_id)
            revoke_credential(credential, ctx=ctx)
        self.stdout.write(credential.public_id)

    def _end_access(self, name: str, tenant: str | None, *, is_plan: bool) -> None:
        if tenant is None:
            self.misuse("--principal needs --tenant SLUG.")
        ctx = self.command_context(tenant)
        with unit_of_work(ctx.tenant_id):
            principal = principal_of_tenant(ctx.tenant_id, name)
            if principal is None:
                self.refuse(f"{name} is not a member of the tenant {tenant}.")
            found = (ways_to_act if is_plan else end_access)(principal, ctx=ctx)
        for noun, names in found.items():
            for one in names:
                self.stdout.write(f"{noun}  {one}")

    def _place(self, text: str) -> Place | None:
        credential_id = ids.parse_public_id(ids.CREDENTIAL, text)
        if credential_id is None and not tokens.is_well_formed(text):
            self.misuse("Name a credential by its id (cr_…) or its token (thr_…).")
        criteria = {"token_sha256": tokens.digest(text)} if credential_id is None else {"id": credential_id}
        with platform_role():
            found = Credential.objects.filter(**criteria).values_list("id", "tenant__slug").first()
        return Place(*found) if found else None
