from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from telemetry.receipts.event_page import events_markdown
from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = "Write docs/reference/events.md from the kinds of receipts."

    def run_command(self, **_options: Any) -> None:
        path = Path(settings.THREADA_BASE_DIR) / "docs" / "reference" / "events.md"
        path.write_text(events_markdown())
        self.stdout.write(str(path))
