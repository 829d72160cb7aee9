from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from telemetry.instance_log.export import instance_archive
from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = (
        "Write the log of the tenants' checkpoints to a zip file that threada_verify.py checks without this system. "
        "The file names every tenant: the operator decides who receives it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="a new file, such as instance-log.zip")

    def run_command(self, **options: Any) -> None:
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
