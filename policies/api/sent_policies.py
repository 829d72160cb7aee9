"""Policies in request bodies: JSON in `document`, or YAML or JSON text in `source`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from policies.language.durations import parse_duration
from policies.publication.rules import Emergency
from threada_site.kernel.documents.reader import Document, load_documents
from threada_site.kernel.errors import (
    DocumentInvalid,
    FieldError,
    InvalidRequest,
    PolicyDocumentInvalid,
    PolicyTestsFailed,
    ThreadaError,
)


@dataclass(frozen=True, slots=True)
class SentPolicy:
    """A policy in a request, as a JSON value. `text` is None if it was sent as JSON."""

    value: Any
    text: Document | None = None

    @property
    def written(self) -> str:
        """Return the text that was sent; empty if it was JSON."""
        return self.text.written if self.text else ""

    @property
    def named_id(self) -> str | None:
        """Return the id in a whole document, else None."""
        name = self.value.get("id") if isinstance(self.value, Mapping) else None
        return name if isinstance(name, str) else None

    @contextmanager
    def located(self) -> Iterator[None]:
        """Map pointers of errors to the request body, and add line and column if it was sent as text."""
        try:
            yield
        except (PolicyDocumentInvalid, PolicyTestsFailed) as error:
            raise self._relocated(error) from None

    def _relocated(self, error: ThreadaError) -> ThreadaError:
        return type(error)(error.detail, errors=[self._at(entry) for entry in error.errors])

    def _at(self, entry: FieldError) -> FieldError:
        if self.text is None:
            return replace(entry, pointer="/document" + entry.pointer)
        found = self.text.located(entry)
        said = f"source line {found.line}, column {found.column}: {found.detail}"
        return replace(found, pointer="/source" + entry.pointer, detail=said)


def sent_policy(body: Mapping[str, Any]) -> SentPolicy:
    """Return the policy in `document` or `source`. Raises `InvalidRequest`, `DocumentInvalid`."""
    if ("document" in body) == ("source" in body):
        raise InvalidRequest(
            "Send the policy as document or as source, not both.",
            errors=[FieldError("/document", "is required unless source is sent", "required")],
        )
    if "document" in body:
        return SentPolicy(body["document"])
    try:
        documents = load_documents(body["source"], source="source")
    except DocumentInvalid as error:
        moved = [replace(entry, pointer="/source" + entry.pointer) for entry in error.errors]
        raise DocumentInvalid(error.detail, errors=moved) from None
    if len(documents) != 1:
        raise DocumentInvalid(
            f"The source holds {len(documents)} documents. Send one policy at a time.",
            errors=[FieldError("/source", "must hold one document", "invalid")],
        )
    return SentPolicy(documents[0].value, documents[0])


def sent_emergency(body: Mapping[str, Any]) -> Emergency | None:
    """Return the emergency parameters of a publication, if any. Raises `InvalidRequest` for an invalid time box."""
    sent = body.get("emergency")
    if sent is None:
        return None
    try:
        lasts = parse_duration(sent["lasts"])
    except ValueError as error:
        raise InvalidRequest(errors=[FieldError("/emergency/lasts", str(error), "invalid")]) from None
    return Emergency(sent["reason"], lasts)
