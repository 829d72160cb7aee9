"""Configuration documents on pages: shown as YAML, and typed as YAML or JSON with the lines of what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from threada_site.kernel import errors
from threada_site.kernel.documents.reader import Document, load_documents
from threada_site.kernel.documents.writer import write_document
from threada_site.kernel.errors import FieldError, ThreadaError

LINES_SHOWN: Final = 3000


def as_yaml(value: Any) -> str:
    """A JSON value as a YAML document in the order it was written, at most 3,000 lines of it."""
    text = write_document(value)
    lines = text.splitlines()
    if len(lines) > LINES_SHOWN:
        return "\n".join([*lines[:LINES_SHOWN], f"# {len(lines) - LINES_SHOWN} more lines: the API answers them all."])
    return text


def one_document(text: str) -> Document:
    """The single document that was typed. Raises `DocumentInvalid`, naming the line."""
    documents = load_documents(text, source="document")
    if len(documents) != 1:
        raise errors.DocumentInvalid(f"Write one document; these are {len(documents)}.")
    return documents[0]


@contextmanager
def with_lines(document: Document, prefix: str = "") -> Iterator[None]:
    """Have refusals say the place in `document` where each problem stands; `prefix` is where the service's root is."""
    try:
        yield
    except ThreadaError as error:
        error.errors = tuple(located(document, entry, prefix) for entry in error.errors)
        raise


def located(document: Document, error: FieldError, prefix: str = "") -> FieldError:
    """A problem as the page says it: with its line and column in words, and no pointer."""
    found = document.located(replace(error, pointer=prefix + error.pointer))
    return replace(found, pointer="", detail=f"line {found.line}, column {found.column}: {found.detail}")
