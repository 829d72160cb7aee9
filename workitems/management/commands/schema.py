from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from threada_site.tenancy.management.base import ProductCommand
from workitems.configuration.schemas import published_schema, schema_names


class Command(ProductCommand):
    help = "Print the JSON Schema of a kind of configuration document, for editors. Without KIND, list all kinds."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", nargs="?", help="e.g. policy; document for documents of all kinds")

    def run_command(self, **options: Any) -> None:
        name: str | None = options["kind"]
        if name is None:
            self.stdout.write("\n".join(schema_names()))
            return
        schema = published_schema(name)
        if schema is None:
            self.misuse(f"There is no kind {name[:40]!r}. Use one of {', '.join(schema_names())}.")
        self.stdout.write(json.dumps(schema, indent=2, ensure_ascii=False))
