from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings

from threada_site.api.documentation import openapi_schema
from threada_site.api.version import API_VERSION
from threada_site.tenancy.management.base import ProductCommand


def document_path() -> Path:
    """Return the file of the committed OpenAPI document of this API version."""
    return Path(settings.THREADA_BASE_DIR) / "docs" / "reference" / f"openapi-{API_VERSION}.json"


class Command(ProductCommand):
    help = "Write the OpenAPI document of this API version to docs/reference, which later versions are compared with."

    def run_command(self, **_options: Any) -> None:
        path = document_path()
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(openapi_schema(), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
        self.stdout.write(str(path))
