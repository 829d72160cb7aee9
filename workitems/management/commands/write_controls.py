from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from threada_site.tenancy.management.base import ProductCommand
from workitems.proof.controls import controls_markdown


class Command(ProductCommand):
    help = "Write docs/reference/controls.md from the map of controls."

    def run_command(self, **_options: Any) -> None:
        path = Path(settings.THREADA_BASE_DIR) / "docs" / "reference" / "controls.md"
        path.write_text(controls_markdown())
        self.stdout.write(str(path))
