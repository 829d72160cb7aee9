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
    help = "Apply configuration documents (roles, groups, workflows, integrations, policies, …): all of them or none."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="a YAML or JSON file, or a folder of them")
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument("--plan", action="store_true", help="show the changes without applying them")
        parser.add_argument("--prune", action="store_true", help="also remove objects that no document describes")
        parser.add_argument(
            "--revision", default="", help="revision of the files, such as a git commit; stored with new versions"
        )

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        try:
            documents = read_documents(options["path"])
            with unit_of_work(ctx.tenant_id):
                done = apply_documents(
                    documents,
                    ctx=ctx,
                    prune=options["prune"],
                    revision=options["revision"].strip(),
                    is_plan=options["plan"],
                )
                if options["plan"]:
                    transaction.set_rollback(True)
        except DocumentInvalid as error:
            self.refuse(error.detail, *(entry.detail for entry in error.errors))
        self._tell(done, is_plan=options["plan"])

    def _tell(self, done: Outcome, *, is_plan: bool) -> None:
        for entry in done.applied:
            self.stdout.write(_line(entry))
            for warning in entry.warnings:
                self.stdout.write(f"    warning: {warning}")
            if is_plan and entry.difference:
                self.stdout.write("".join(f"    {line}" for line in entry.difference.splitlines(keepends=True)))
        for named in done.removed:
            self.stdout.write(f"- {named.kind} {named.name} ({'would be removed' if is_plan else 'removed'})")
        for named in done.left:
            self.stdout.write(f"? {named.kind} {named.name} (in no document; --prune removes it)")
        changed = sum(entry.change != "unchanged" for entry in done.applied) + len(done.removed)
        verb = "would be changed" if is_plan else "changed"
        self.stdout.write(f"{len(done.applied)} documents, {changed} {verb}.")


def _line(entry: Applied) -> str:
    mark = {"created": "+", "changed": "~", "unchanged": " "}[entry.change.value]
    return f"{mark} {entry.kind} {entry.name} ({entry.change.value})"
