from __future__ import annotations

from typing import Any

import orjson
from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors.retention import RetentionStandsStill
from threada_site.tenancy.management.base import TenantCommand
from workitems.models import RetentionRun
from workitems.retention.batches import take_batch
from workitems.retention.run import note_failure, open_run, plan_retention


class Command(TenantCommand):
    uses_keys = True
    help = (
        "Remove data whose retention period has ended. --dry-run shows it and removes nothing. Without --dry-run, "
        "the data shown by the last dry run is removed in batches. The command may be interrupted and run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument("--dry-run", action="store_true", help="show what is due without removing anything")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        run = self._shown(ctx) if options["dry_run"] else self._done(ctx)
        if options["json"]:
            self.stdout.write(orjson.dumps(as_json(run)).decode())
            return
        for rule in run.rules:
            self.stdout.write(
                f"{rule['rule']} v{rule['number']}: {rule['contents']} contents, {rule['cases']} cases ({rule['then']})"
            )
        if not run.rules:
            self.stdout.write("There is no retention rule, so everything is kept forever.")
        if options["dry_run"]:
            self.stdout.write(
                f"{run.public_id}: {run.planned_contents} contents and {run.planned_cases} cases are due. "
                "Nothing was removed."
            )
            return
        self.stdout.write(
            f"{run.public_id}: removed {run.contents_removed} contents and {run.cases_removed} cases with "
            f"{run.receipts_removed} receipts, in {run.batches} batches."
        )

    def _shown(self, ctx: ActingContext) -> RetentionRun:
        with unit_of_work(ctx.tenant_id):
            return plan_retention(now=clock.now(), ctx=ctx)

    def _done(self, ctx: ActingContext) -> RetentionRun:
        with unit_of_work(ctx.tenant_id):
            run = open_run(ctx.tenant_id)
        while True:
            try:
                batch = take_batch(now=clock.now(), ctx=ctx)
            except RetentionStandsStill as failure:
                with unit_of_work(ctx.tenant_id):
                    note_failure(failure.detail, ctx=ctx)
                raise
            if batch.is_last:
                break
        with unit_of_work(ctx.tenant_id):
            return RetentionRun.objects.get(tenant_id=ctx.tenant_id, id=run.id)  # type: ignore[union-attr]


def as_json(run: RetentionRun) -> dict[str, Any]:
    """Return a run as JSON."""
    return {
        "retention_run_id": run.public_id,
        "status": run.status,
        "as_of": clock.rfc3339(run.as_of),
        "rules": run.rules,
        "planned": {"contents": run.planned_contents, "cases": run.planned_cases},
        "removed": {
            "contents": run.contents_removed,
            "cases": run.cases_removed,
            "receipts": run.receipts_removed,
        },
        "batches": run.batches,
    }
