from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.credentials import issue_credential
from threada_site.identity.grants.role_grants import grant_role
from threada_site.identity.management.arguments import duration, scopes
from threada_site.identity.owners import set_owner, without_known_owner
from threada_site.identity.principals import add_member, ensure_principal
from threada_site.identity.selectors import is_member_somewhere, principal_of_tenant
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.management.base import TenantCommand
from threada_site.tenancy.models import Membership, User


class Command(TenantCommand):
    help = (
        "Issue a token to a principal of a tenant and print it. The principal and its membership are created if "
        "missing. An agent or a service needs an owner. Roles are only added. If anything fails, nothing is changed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--principal", required=True, metavar="NAME", help="principal of the token")
        parser.add_argument(
            "--kind",
            choices=[kind.value for kind in PrincipalKind],
            help="kind of a new principal (service); an existing one must have this kind",
        )
        parser.add_argument(
            "--join", action="store_true", help="add a person of another tenant, whose account it stays"
        )
        parser.add_argument(
            "--role", action="append", default=[], metavar="SLUG", help="grant this role first; repeatable"
        )
        parser.add_argument(
            "--owner",
            metavar="NAME",
            help="the person who answers for the agent or service; required unless it has a known owner",
        )
        parser.add_argument("--scopes", required=True, type=scopes, help='such as "workitems:read workitems:write"')
        parser.add_argument("--expires-in", type=duration, metavar="DURATION", help="30d, 12h, P30D, PT8H (never)")
        parser.add_argument("--label", default="", help="purpose of the token")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            principal = self._principal(options["principal"], options["kind"], ctx=ctx)
            if not options["join"] and _is_of_another_tenant(principal, ctx=ctx):
                self.refuse(
                    f"{principal.username} is a person of another tenant, whose stewards chose the name.",
                    "Choose another name, or add that account to this tenant with --join.",
                )
            add_member(principal, ctx=ctx)
            for role in options["role"]:
                grant_role(principal, role, ctx=ctx)
            if options["owner"] is not None:
                set_owner(principal, options["owner"], ctx=ctx)
            elif without_known_owner(ctx.tenant_id).filter(user=principal).exists():
                self.refuse(
                    f"The {principal.kind} {principal.username} has no known owner.",
                    "Name the person who answers for it with --owner.",
                )
            issued = issue_credential(
                principal=principal,
                scopes=options["scopes"],
                label=options["label"],
                expires_in=options["expires_in"],
                ctx=ctx,
            )
        self.stdout.write(issued.token)

    def _principal(self, name: str, kind: str | None, *, ctx: ActingContext) -> User:
        existing = principal_of_tenant(ctx.tenant_id, name) if kind is None else None
        return existing or ensure_principal(name, kind=PrincipalKind(kind or PrincipalKind.SERVICE), ctx=ctx)


def _is_of_another_tenant(principal: User, *, ctx: ActingContext) -> bool:
    """Return True for a member of another tenant who is none, or only invited, here."""
    here = Membership.objects.filter(tenant_id=ctx.tenant_id, user=principal, accepted_at__isnull=False)
    return principal.kind == PrincipalKind.HUMAN and not here.exists() and is_member_somewhere(principal)
