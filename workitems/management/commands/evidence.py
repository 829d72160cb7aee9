from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from threada_site.kernel.files import new_file
from threada_site.tenancy.management.base import TenantCommand
from workitems.proof.controls import FRAMEWORKS
from workitems.proof.evidence_file import write_evidence


class Command(TenantCommand):
    uses_keys = True
    help = (
        "Write what an auditor of a framework asks for into one zip file: receipts of a period with proofs, access, "
        "configuration in force, proof of the promises, and the framework's table of controls."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="a new file, such as evidence-2026-01.zip")
        parser.add_argument("--tenant", required=True, help="slug of the tenant")
        parser.add_argument("--framework", required=True, choices=list(FRAMEWORKS))
        parser.add_argument("--from", dest="since", required=True, metavar="INSTANT", help="RFC 3339")
        parser.add_argument("--to", dest="until", required=True, metavar="INSTANT", help="RFC 3339; not included")

    def run_command(self, **options: Any) -> None:
        ctx = self.command_context(options["tenant"])
        file: Path = options["file"]
        if file.exists():
            self.misuse(f"{file} exists. Name a new file.")
        try:
            with new_file(file) as out:
                write_evidence(out, options["framework"], options["since"], options["until"], ctx=ctx)
        except OSError as error:
            self.refuse(f"{error.filename or file}: cannot be written: {error.strerror or error}.")
        self.stdout.write(str(file))
