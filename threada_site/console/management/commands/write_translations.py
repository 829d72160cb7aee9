from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from threada_site.console.translations.catalogs import (
    missing,
    mo_bytes,
    po_path,
    po_text,
    stored_texts,
    texts_of,
    updated_catalog,
)
from threada_site.tenancy.management.base import ProductCommand


class Command(ProductCommand):
    help = "Write marked texts into the .po files, and compile the .mo files."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Write nothing; fail if the files are not up to date.")

    def run_command(self, **options: Any) -> None:
        for language in (code for code, _ in settings.LANGUAGES if code != settings.LANGUAGE_CODE):
            catalog = updated_catalog(language)
            texts = missing(catalog)
            if not options["check"]:
                path = po_path(language)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(po_text(catalog))
                path.with_suffix(".mo").write_bytes(mo_bytes(catalog))
                self.stdout.write(str(path))
            for text in texts:
                self.stdout.write(f"{language}: no translation of {text!r}")
            if options["check"] and (texts or stored_texts(language) != texts_of(catalog)):
                raise CommandError(f"The {language} translation is not complete. Run manage.py write_translations.")
