from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.db import transaction

from policies import selectors
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ConfirmationRequired, ThreadaError
from threada_site.tenancy.management.base import TenantCommand
from workitems.configuration.packs import install_pack, read_pack, remove_pack


class Command(TenantCommand):
    help = "Install a pack from a file or folder, list installed packs, or remove one."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        install = actions.add_parser("install", help="install or upgrade a pack")
        install.add_argument("path", type=Path, help="a document of kind: Pack, or a folder with one and its contents")
        install.add_argument("--plan", action="store_true", help="show the changes without applying them")
        install.add_argument("--revision", default="", help="revision of the files, such as a git commit")
        shown = actions.add_parser("list", help="list installed packs")
        remove = actions.add_parser("remove", help="remove a pack and its documents")
        remove.add_argument("pack", help="the pack's id")
        for parsed in (install, shown, remove):
            parsed.add_argument("--tenant", required=True, help="the tenant's slug")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        try:
            getattr(self, f"_{options['action']}")(ctx, options)
        except ConfirmationRequired:
            raise
        except ThreadaError as error:
            self.refuse(error.detail, *(entry.detail for entry in error.errors))

    def _install(self, ctx: ActingContext, options: dict[str, Any]) -> None:
        document = read_pack(options["path"])
        with unit_of_work(ctx.tenant_id):
            done = install_pack(document, ctx=ctx, revision=options["revision"].strip(), is_plan=options["plan"])
            if options["plan"]:
                transaction.set_rollback(True)
        for entry in done.applied:
            self.stdout.write(f"{_MARKS[entry.change.value]} {entry.kind} {entry.name} ({entry.change.value})")
        for named in done.removed:
            self.stdout.write(f"- {named.kind} {named.name} (removed)")
        changed = sum(entry.change != "unchanged" for entry in done.applied) + len(done.removed)
        self.stdout.write(f"{changed} {'would be changed' if options['plan'] else 'changed'}.")

    def _list(self, ctx: ActingContext, options: dict[str, Any]) -> None:
        with unit_of_work(ctx.tenant_id):
            for pack in selectors.packs(ctx).order_by("slug"):
                self.stdout.write(f"{pack.slug} {pack.current_version.label}")  # type: ignore[union-attr]

    def _remove(self, ctx: ActingContext, options: dict[str, Any]) -> None:
        with unit_of_work(ctx.tenant_id):
            for name in remove_pack(options["pack"], ctx=ctx):
                self.stdout.write(f"- {name} (removed)")


_MARKS = {"created": "+", "changed": "~", "unchanged": " "}
