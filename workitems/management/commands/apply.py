from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from threada_site.kernel.errors import DocumentInvalid
from threada_site.tenancy.management.base import TenantCommand
from threada_site.tenancy.unit_of_work import unit_of_work
from workitems.services.apply import Applied, apply_documents, read_documents


class Command(TenantCommand):
    help = (
        "Bring workflows, channels, lists, integrations, policies and overlays from documents in force, all or nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="a YAML or JSON file, or a folder of them")
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument("--plan", action="store_true", help="show what would change, and change nothing")

    def act(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        try:
            documents = read_documents(options["path"])
            with unit_of_work(ctx.tenant_id):
                applied = apply_documents(documents, ctx=ctx)
                if options["plan"]:
                    transaction.set_rollback(True)
        except DocumentInvalid as error:
            self.refuse(error.detail, *(entry.detail for entry in error.errors))
        for entry in applied:
            self.stdout.write(_line(entry))
            if options["plan"] and entry.difference:
                self.stdout.write("".join(f"    {line}" for line in entry.difference.splitlines(keepends=True)))
        changed = sum(entry.change != "unchanged" for entry in applied)
        verb = "would be changed" if options["plan"] else "changed"
        self.stdout.write(f"{len(applied)} documents, {changed} {verb}.")


def _line(entry: Applied) -> str:
    mark = {"created": "+", "changed": "~", "unchanged": " "}[entry.change.value]
    return f"{mark} {entry.kind} {entry.name} ({entry.change.value})"
