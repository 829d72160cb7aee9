from __future__ import annotations

import json
from typing import Any

from threada_site.api.documentation.pages import document_path, openapi_schema
from threada_site.api.openapi.compatibility import breaking_changes
from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = "Write the OpenAPI document of this API version to docs/reference, and print what breaks the one before."

    def run_command(self, **_options: Any) -> None:
        path = document_path()
        document = openapi_schema()
        if path.exists():
            for found in breaking_changes(json.loads(path.read_text()), document):
                self.stdout.write(f"breaks {found}")
        path.write_text(json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        self.stdout.write(str(path))
