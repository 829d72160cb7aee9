from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from threada_site.runtime.backup.archive import BackupDamaged
from threada_site.runtime.backup.progress import BackupProgress
from threada_site.runtime.backup.recovery_key import RecoveryKeyProblem
from threada_site.runtime.backup.tenant_export import export_tenant
from threada_site.tenancy.management.base import TenantCommand


class Command(TenantCommand):
    uses_keys = True
    help = "Write everything of one tenant into a file: configuration, rows, files, and receipts with proofs."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="does", required=True)
        export = actions.add_parser("export", help="write the file")
        export.add_argument("tenant", help="the tenant's slug")
        export.add_argument("file", type=Path, help="the file to write; an existing one is not replaced")
        export.add_argument(
            "--recovery-key",
            default="",
            metavar="PUBLIC",
            help="public recovery key of whoever receives the file, for the keys of people in cases",
        )

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        path: Path = options["file"].absolute()
        try:
            with BackupProgress(self.stderr) as progress:
                created = export_tenant(path, recovery_key=options["recovery_key"], ctx=ctx, watch=progress.step)
        except (BackupDamaged, RecoveryKeyProblem) as error:
            self.refuse(str(error))
        except OSError as error:
            self.refuse(f"{error.filename or path}: {error.strerror or error}")
        for sentence in created.left_out:
            self.stderr.write(sentence)
        self.stdout.write(f"{created.path}: {created.bytes} bytes")
