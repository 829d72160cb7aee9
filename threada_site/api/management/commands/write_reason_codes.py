from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from threada_site.api.reason_codes import reason_codes_markdown
from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = "Write docs/reason-codes.md from the registry of reason codes."

    def run_command(self, **_options: Any) -> None:
        path = Path(settings.THREADA_BASE_DIR) / "docs" / "reason-codes.md"
        path.write_text(reason_codes_markdown())
        self.stdout.write(str(path))
