"""Documents inside packs: applied together with other documents, and recorded once they are in force."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from policies import selectors
from policies.configuration.packs import note_installed
from policies.documents.pack import member_name, parse_pack
from threada_site.kernel.context import ActingContext
from threada_site.kernel.documents.reader import Document, Place
from threada_site.kernel.documents.writer import write_document
from threada_site.kernel.errors import DocumentInvalid, FieldError
from threada_site.kernel.json.canonical import canonical_sha256
from workitems.configuration.kinds import Applied, in_force

type DocumentKey = tuple[str, str]
"""Kind and name."""


class Placed(Protocol):
    """A document, or a document inside a pack, with the place where it was read."""

    @property
    def value(self) -> Any: ...

    @property
    def source(self) -> str: ...

    @property
    def written(self) -> str: ...

    def place_of(self, pointer: str) -> Place: ...

    def located(self, error: FieldError) -> FieldError: ...


@dataclass(frozen=True)
class Packed:
    """Document of the pack `pack`, located at `pointer` of `parent`."""

    parent: Document
    pointer: str
    value: Mapping[str, Any]
    pack: str

    @property
    def source(self) -> str:
        return self.parent.source

    @property
    def written(self) -> str:
        return write_document(self.value)

    def place_of(self, pointer: str) -> Place:
        return self.parent.place_of(self.pointer + pointer)

    def located(self, error: FieldError) -> FieldError:
        return self.parent.located(replace(error, pointer=self.pointer + error.pointer))


@dataclass(frozen=True, slots=True)
class PackedBefore:
    """Documents of each pack before the documents were applied."""

    documents: Mapping[str, frozenset[DocumentKey]]

    @classmethod
    def in_tenant(cls, ctx: ActingContext) -> PackedBefore:
        found: dict[str, set[DocumentKey]] = {}
        for row in selectors.pack_members(ctx):
            found.setdefault(row.pack.slug, set()).add((row.kind, row.name))
        return cls({slug: frozenset(documents) for slug, documents in found.items()})

    def dropped(self, applied: Iterable[Applied], *, ctx: ActingContext) -> frozenset[DocumentKey]:
        """Return the documents that the applied packs contained before and no longer contain."""
        now = PackedBefore.in_tenant(ctx).documents
        packs = {entry.name for entry in applied if entry.kind == "Pack"}
        return frozenset().union(
            *(self.documents.get(pack, frozenset()) - now.get(pack, frozenset()) for pack in packs)
        )


def with_contents_of_packs(documents: Iterable[Document]) -> list[Placed]:
    """Return `documents` and the documents of their packs, except those replaced by another document.

    An invalid pack is kept unopened; applying it reports its errors.
    """
    found: list[Placed] = list(documents)
    own = {_document_key(document.value) for document in found}
    for document in list(found):
        if isinstance(document, Document) and _kind(document.value) == "Pack":
            try:
                pack = parse_pack(document.value)
            except DocumentInvalid:
                continue
            found += [
                Packed(document, f"/spec/documents/{index}", value, pack.id)
                for index, value in enumerate(pack.documents)
                if _document_key(value) not in own
            ]
    return found


def note_contents_of_packs(documents: Iterable[Placed], *, ctx: ActingContext) -> None:
    """Store the digests of the documents that each pack installed, to detect later changes."""
    packed = [document for document in documents if isinstance(document, Packed)]
    if not packed:
        return
    digests = {(kind, stored.name): canonical_sha256(stored.document) for kind, stored in in_force(ctx)}
    for pack in sorted({document.pack for document in packed}):
        keys = [(document.value["kind"], member_name(document.value)) for document in packed if document.pack == pack]
        note_installed(pack, {key: digests[key] for key in keys if key in digests}, ctx=ctx)


def _kind(value: Any) -> str:
    kind = value.get("kind") if isinstance(value, Mapping) else None
    return kind if isinstance(kind, str) else ""


def _document_key(value: Any) -> DocumentKey | None:
    """Return kind and name of a document; None if they cannot be read."""
    kind = _kind(value)
    if kind == "Overlay":
        try:
            return kind, member_name(value)
        except DocumentInvalid:
            return None
    return (kind, str(value.get("id"))) if kind else None
