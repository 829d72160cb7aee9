from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from threada_site.runtime.sealer.process import main


class Command(BaseCommand):
    help = "Seal receipts about once a second and sign checkpoints. Running several is safe."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments for `--help`; `manage.py` parses them itself, because it runs the sealer before Django
        is loaded."""
        parser.add_argument("--once", action="store_true", help="seal what is queued, sign, and exit")
        parser.add_argument("--interval", default="1", help="seconds between rounds (1)")

    def handle(self, *_args: Any, **options: Any) -> None:
        status = main(["--interval", str(options["interval"]), *(["--once"] if options["once"] else [])])
        if status:
            sys.exit(status)
