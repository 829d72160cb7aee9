"""Configuration documents in the console: shown as YAML; entered as YAML or JSON, with line numbers in errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from django.utils.translation import gettext as _

from threada_site.kernel import errors
from threada_site.kernel.documents.reader import Document, load_documents
from threada_site.kernel.documents.writer import write_document
from threada_site.kernel.errors import FieldError, ThreadaError

LINES_SHOWN: Final = 3000


def as_yaml(value: Any) -> str:
    """Return a JSON value as YAML in its original order, at most 3,000 lines."""
    text = write_document(value)
    lines = text.splitlines()
    if len(lines) > LINES_SHOWN:
        return "\n".join(
            [
                *lines[:LINES_SHOWN],
                _("# {number} more lines; read them by the API.").format(number=len(lines) - LINES_SHOWN),
            ]
        )
    return text


def one_document(text: str) -> Document:
    """Return the single document in `text`. Raise `DocumentInvalid` with the line."""
    documents = load_documents(text, source="document")
    if len(documents) != 1:
        raise errors.DocumentInvalid(f"Enter one document; the text contains {len(documents)}.")
    return documents[0]


@contextmanager
def with_lines(document: Document, prefix: str = "") -> Iterator[None]:
    """Add line and column in `document` to errors of refusals. `prefix` is the pointer of the service's root."""
    try:
        yield
    except ThreadaError as error:
        error.errors = tuple(located(document, entry, prefix) for entry in error.errors)
        raise


def located(document: Document, error: FieldError, prefix: str = "") -> FieldError:
    """Return an error with its line and column as text and without a pointer."""
    found = document.located(replace(error, pointer=prefix + error.pointer))
    return replace(found, pointer="", detail=f"line {found.line}, column {found.column}: {found.detail}")
