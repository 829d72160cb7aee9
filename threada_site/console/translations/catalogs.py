"""Catalogs of translations: extraction of marked texts, update of `.po` files, compilation of `.mo` files by Babel.

No program of GNU gettext is needed. Django's own `templatize` turns templates into calls that Babel's reader of Python
finds. The `.mo` files are part of the repository, so that an installation compiles nothing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po
from django.conf import settings
from django.utils.translation.template import templatize

from threada_site.admin.schema_fields import texts_of_schema
from threada_site.identity.providers.documents import SCHEMA
from threada_site.identity.trusted_issuers.document import TRUSTED_ISSUER_SCHEMA
from threada_site.kernel.errors import REASONS

_PACKAGES: Final = ("threada_site", "workitems", "policies", "integrations", "telemetry", "templates")
_KEYWORDS: Final[dict[str, Any]] = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
    "marked": None,
    "sentence": None,
    "sentence_list": (2,),
    "sentence_of_number": (1, 2),
}
_SCHEMAS_OF_FORMS: Final = (SCHEMA, TRUSTED_ISSUER_SCHEMA)
_UNICODE_PREFIX: Final = re.compile(r"\bu(?=[\"'])")
_LEFT_OUT: Final = (b'"POT-', b'"PO-Rev', b'"Generated', b'"Report-', b'"Last-', b'"Language-Team', b'"Project-Id')
_HEADER: Final = (
    "# Translations of the console. Written by `manage.py write_translations`; translate the `msgstr` lines."
)


def template_catalog() -> Catalog:
    """Return the catalog of all marked texts, in the order of files and lines."""
    catalog = Catalog(charset="utf-8", header_comment=_HEADER)
    for place, message, comments, context in _found():
        catalog.add(message, locations=[(place, 1)], auto_comments=comments, context=context)
    return catalog


def updated_catalog(language: str) -> Catalog:
    """Return the catalog of a language with all marked texts, and without those that are no longer marked."""
    path = po_path(language)
    catalog = read_catalog(language) if path.exists() else Catalog(locale=language)
    catalog.update(template_catalog(), no_fuzzy_matching=True, update_header_comment=True)
    catalog.obsolete.clear()
    catalog.fuzzy = False
    return catalog


def read_catalog(language: str) -> Catalog:
    """Return the catalog that is stored in the `.po` file of a language."""
    with po_path(language).open("rb") as file:
        return read_po(file, locale=language)


def missing(catalog: Catalog) -> list[str]:
    """Return the texts of a catalog without a finished translation."""
    texts = (message for message in catalog if message.id)
    return [_first(message.id) for message in texts if message.fuzzy or not _is_translated(message)]


def faults(catalog: Catalog) -> list[str]:
    """Return the translations whose placeholders differ from those of their text."""
    found = []
    for message in catalog:
        if not message.id or not _is_translated(message):
            continue
        expected = _placeholders(_last(message.id))
        found += [text for text in _all(message.string) if _placeholders(text) != expected]
    return found


def po_text(catalog: Catalog) -> bytes:
    """Return the `.po` file of a catalog. The texts are in alphabetical order, without line numbers and dates."""
    written = io.BytesIO()
    write_po(written, catalog, width=120, sort_output=True, include_lineno=False, omit_header=False)
    return b"\n".join(line for line in written.getvalue().split(b"\n") if not line.startswith(_LEFT_OUT))


def mo_bytes(catalog: Catalog) -> bytes:
    """Return the `.mo` file of a catalog."""
    written = io.BytesIO()
    write_mo(written, catalog)
    return written.getvalue()


def stored_texts(language: str) -> dict[Any, Any]:
    """Return the translations in the `.mo` file of a language, by text and context."""
    with po_path(language).with_suffix(".mo").open("rb") as file:
        return texts_of(read_mo(file))


def texts_of(catalog: Catalog) -> dict[Any, Any]:
    """Return the translations of a catalog, by text and context."""
    return {(message.context, _all(message.id)): _all(message.string) for message in catalog if message.id}


def po_path(language: str) -> Path:
    return Path(settings.LOCALE_PATHS[0]) / language / "LC_MESSAGES" / "django.po"


def _found() -> Iterator[tuple[str, Any, list[str], str | None]]:
    """Yield file, text or plural forms, comments and context of every marked text."""
    root = Path(settings.BASE_DIR)
    for path in sorted(path for name in _PACKAGES for path in (root / name).rglob("*")):
        if path.suffix not in {".py", ".html", ".txt"} or "migrations" in path.parts:
            continue
        source = path.read_text(encoding="utf-8")
        if path.suffix != ".py":
            source = _as_calls(source, str(path))
        stream = io.BytesIO(source.encode())
        for _, message, comments, context in extract("python", stream, _KEYWORDS, ["Translators:"]):
            yield str(path.relative_to(root)), message, comments, context
    for place, message in _unmarked():
        if message:
            yield place, message, [], None


def _unmarked() -> Iterator[tuple[str, str]]:
    """Yield the texts that pages translate and that are not marked, because the API sends them in English."""
    for reason in REASONS.values():
        yield "threada_site/kernel/errors/", reason.title
        yield "threada_site/kernel/errors/", reason.advice
    for schema in _SCHEMAS_OF_FORMS:
        for text in texts_of_schema(schema.spec):
            yield "threada_site/identity/", text


def _as_calls(source: str, name: str) -> str:
    """Return the marked texts of a template as calls of gettext, one a line."""
    calls = templatize(source, name)
    return "\n".join(_UNICODE_PREFIX.sub("", line).strip() for line in calls.splitlines())


def _all(text: Any) -> tuple[str, ...]:
    return tuple(text) if isinstance(text, list | tuple) else (text,)


def _first(text: Any) -> str:
    return _all(text)[0]


def _last(text: Any) -> str:
    return _all(text)[-1]


def _is_translated(message: Any) -> bool:
    return all(_all(message.string)) and bool(message.string)


def _placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"%\(\w+\)[sd]|\{[^}]*\}|%[sd]", text))
