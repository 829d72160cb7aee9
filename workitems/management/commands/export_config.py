from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.errors import ThreadaError
from threada_site.tenancy.management.base import TenantCommand
from workitems.configuration.export import configuration_files, write_configuration


class Command(TenantCommand):
    help = "Export the configuration in force to a folder, one document per file. Applying the export changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, help="target folder; created if missing")
        parser.add_argument("--tenant", required=True, help="the tenant's slug")
        parser.add_argument("--prune", action="store_true", help="remove other documents from the folder")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        with unit_of_work(ctx.tenant_id):
            files = configuration_files(ctx)
        folder: Path = options["folder"]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            done = write_configuration(files, folder, prune=options["prune"])
        except ThreadaError as error:
            self.refuse(error.detail)
        except OSError as error:
            self.refuse(f"{folder}: cannot be written: {error.strerror}.")
        for path in done.written:
            self.stdout.write(f"~ {path}")
        for path in done.removed:
            self.stdout.write(f"- {path}")
        self.stdout.write(
            f"{len(files)} documents: {len(done.written)} written, {len(done.unchanged)} unchanged, "
            f"{len(done.removed)} other files removed."
        )
