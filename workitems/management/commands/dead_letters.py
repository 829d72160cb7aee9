from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.management.base import TenantCommand
from workitems.executions.dead_letters import MOST_AT_ONCE, Criteria, dead_letters, named, retry_executions


class Command(TenantCommand):
    help = "List or retry dead letters: executions that failed for good. One per line: id, action, failure, time."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("operation", choices=["list", "replay"])
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument("--workflow", default="", help="only executions of this workflow")
        parser.add_argument("--integration", default="", help="only executions on this integration")
        parser.add_argument("--action", default="", help="only executions of this action")
        parser.add_argument(
            "--failure", default="", help="only executions with this failure, such as connection_refused"
        )
        parser.add_argument("--limit", type=int, default=10_000, help="maximum number (10000)")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        criteria = Criteria(**{name: options[name] for name in ("workflow", "integration", "action", "failure")})
        with unit_of_work(ctx.tenant_id):
            found = list(dead_letters(criteria, ctx=ctx)[: max(options["limit"], 0)])
            if options["operation"] == "list":
                for row in found:
                    since = rfc3339(row.finished_at) if row.finished_at else "-"
                    self.stdout.write(f"{row.public_id} {row.action}@{row.integration} {row.failure} {since}")
                return
        refused = self._retry([row.id for row in found], ctx)
        self.stdout.write(f"{len(found) - refused} retried, {refused} refused")
        if refused:
            self.refuse("Some executions could not be retried; see above.")

    def _retry(self, execution_ids: list[uuid.UUID], ctx: ActingContext) -> int:
        """Retry executions in batches of one transaction each, to keep locks short. Return the number of refusals."""
        refused = 0
        for start in range(0, len(execution_ids), MOST_AT_ONCE):
            with unit_of_work(ctx.tenant_id):
                done = retry_executions(execution_ids[start : start + MOST_AT_ONCE], ctx=ctx)
            for entry in done.refused:
                refused += 1
                self.stderr.write(f"{named(entry)}: {entry.refusal.detail} ({entry.refusal.reason_code})")
            for execution_id in done.retried:
                self.stdout.write(ids.public_id(ids.EXECUTION, execution_id))
        return refused
