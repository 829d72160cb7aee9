from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = (
        "Write the instance log (THREADA_INSTANCE_LOG) to a zip file that threada_verify.py verifies offline. "
        "The file names every tenant: the operator decides who receives it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="a new file, such as instance-log.zip")

    def run_command(self, **options: Any) -> None:
        if not settings.THREADA_INSTANCE_LOG:
            self.refuse("No instance log is kept. THREADA_INSTANCE_LOG=true turns it on, for sealer, web and worker.")
        from telemetry.instance_log.export import instance_archive

        file: Path = options["file"]
        parts = instance_archive(file.stem)
        first = next(parts)
        try:
            out = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except OSError as error:
            parts.close()  # type: ignore[attr-defined]
            self.misuse(f"{file}: {error.strerror}")
        with out:
            out.write(first)
            for part in parts:
                out.write(part)
