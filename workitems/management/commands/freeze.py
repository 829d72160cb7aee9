from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from integrations.freezes.scope import FreezeScope
from integrations.models import Freeze
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339
from threada_site.tenancy.management.base import TenantCommand
from workitems.executions.freezes import lift_freeze, set_freeze


class Command(TenantCommand):
    help = "Set, lift or list freezes of a tenant, a workflow, an integration or one of its actions, or an agent."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("operation", choices=["set", "lift", "list"])
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument("--workflow", default="", help="set: only this workflow")
        parser.add_argument("--integration", default="", help="set: only this integration")
        parser.add_argument("--action", default="", help="set: only this action of the integration")
        parser.add_argument("--principal", default="", help="set: all that this agent or service requests")
        parser.add_argument("--reason", default="", help="set, lift: reason")
        parser.add_argument("--freeze", default="", help="lift: id of the freeze, fz_…")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            match options["operation"]:
                case "set":
                    stopped = set_freeze(self._scope(options), reason=options["reason"], ctx=ctx)
                    self.stdout.write(stopped.freeze.public_id)
                    for execution in stopped.in_flight:
                        self.stderr.write(f"{execution.public_id} was sent already and cannot be recalled.")
                case "lift":
                    parsed = ids.parse_public_id(ids.FREEZE, options["freeze"])
                    if parsed is None:
                        self.misuse("--freeze takes an id that begins with fz_.")
                    self.stdout.write(lift_freeze(parsed, reason=options["reason"], ctx=ctx).public_id)
                case _:
                    for row in Freeze.objects.filter(tenant_id=ctx.tenant_id).order_by("id"):
                        state = f"lifted {rfc3339(row.lifted_at)}" if row.lifted_at else "in force"
                        self.stdout.write(f"{row.public_id} {state} since {rfc3339(row.set_at)}: {row} ({row.reason})")

    def _scope(self, options: dict[str, Any]) -> FreezeScope:
        try:
            return FreezeScope(options["workflow"], options["integration"], options["action"], options["principal"])
        except ValueError as error:
            self.misuse(f"{str(error).capitalize()}.")
