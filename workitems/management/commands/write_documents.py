from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from threada_site.tenancy.management.base import ProductCommand
from workitems.configuration.reference_page import documents_markdown


class Command(ProductCommand):
    help = "Write docs/reference/documents.md from the schemas of all kinds of documents."

    def run_command(self, **_options: Any) -> None:
        path = Path(settings.THREADA_BASE_DIR) / "docs" / "reference" / "documents.md"
        path.write_text(documents_markdown())
        self.stdout.write(str(path))
