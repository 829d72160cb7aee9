from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.errors import DocumentInvalid
from threada_site.tenancy.management.base import TenantCommand
from workitems.configuration.apply import Applied, Outcome, apply_documents, read_documents


class Command(TenantCommand):
    help = "Bring roles, groups, workflows, integrations, policies and all else in documents in force, all or nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="a YAML or JSON file, or a folder of them")
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument("--plan", action="store_true", help="show what would change, and change nothing")
        parser.add_argument("--prune", action="store_true", help="also take out what no document describes")
        parser.add_argument("--revision", default="", help="of the files, such as a git commit: versions keep it")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        try:
            documents = read_documents(options["path"])
            with unit_of_work(ctx.tenant_id):
                done = apply_documents(documents, ctx=ctx, prune=options["prune"], revision=options["revision"].strip())
                if options["plan"]:
                    transaction.set_rollback(True)
        except DocumentInvalid as error:
            self.refuse(error.detail, *(entry.detail for entry in error.errors))
        self._tell(done, is_plan=options["plan"])

    def _tell(self, done: Outcome, *, is_plan: bool) -> None:
        for entry in done.applied:
            self.stdout.write(_line(entry))
            if is_plan and entry.difference:
                self.stdout.write("".join(f"    {line}" for line in entry.difference.splitlines(keepends=True)))
        for named in done.removed:
            self.stdout.write(f"- {named.kind} {named.name} ({'would be removed' if is_plan else 'removed'})")
        for named in done.left:
            self.stdout.write(f"? {named.kind} {named.name} (in no document; --prune takes it out)")
        changed = sum(entry.change != "unchanged" for entry in done.applied) + len(done.removed)
        verb = "would be changed" if is_plan else "changed"
        self.stdout.write(f"{len(done.applied)} documents, {changed} {verb}.")


def _line(entry: Applied) -> str:
    mark = {"created": "+", "changed": "~", "unchanged": " "}[entry.change.value]
    told = f"{entry.change.value}, a draft: another person publishes it" if entry.is_draft else entry.change.value
    return f"{mark} {entry.kind} {entry.name} ({told})"
