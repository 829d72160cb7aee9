from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from threada_site.runtime.command_page import commands_markdown
from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = "Write docs/reference/commands.md from the management commands."

    def run_command(self, **_options: Any) -> None:
        path = Path(settings.THREADA_BASE_DIR) / "docs" / "reference" / "commands.md"
        path.write_text(commands_markdown())
        self.stdout.write(str(path))
