"""Parser of `kind: Pack` documents, named bundles of documents for one kind of case. Pure.

kind: Pack
id: payments
spec:
  name: Payments
  version: "1.2.0"
  documents:
    - {kind: Workflow, id: payment_run, spec: {…}}
    - {kind: Overlay, policy: payments, scope: {pack: payments}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from policies.documents.overlay import parse_overlay
from threada_site.kernel.documents.field_errors import FieldErrors
from threada_site.kernel.documents.kind_schema import KindSchema
from threada_site.kernel.documents.structure import SLUG, closed_object, text
from threada_site.kernel.errors import DocumentInvalid
from threada_site.kernel.json.pointers import pointer_to

MAX_DOCUMENTS: Final = 500
MAX_NAME: Final = 200
MAX_VERSION: Final = 64
PACKED_KINDS: Final = ("Channel", "List", "Workflow", "Integration", "Policy", "Overlay")
"""Document kinds allowed in a pack. Roles, groups, calendars and retention belong to the tenant."""
PACK_SCHEMA: Final = KindSchema(
    "Pack",
    closed_object(
        {
            "name": text(MAX_NAME, default="", description="Label of the pack."),
            "version": {
                **text(MAX_VERSION),
                "minLength": 1,
                "description": "Version chosen by the author.",
                "examples": ["1.2.0"],
                "errorMessage": f"version is text of 1 to {MAX_VERSION} characters, in quotes.",
            },
            "documents": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_DOCUMENTS,
                "items": {
                    "type": "object",
                    "properties": {
                        "kind": {"enum": list(PACKED_KINDS), "title": "kind allowed in a pack"},
                        "id": {**SLUG, "description": "Id of the document."},
                    },
                    "required": ["kind"],
                    "if": {"properties": {"kind": {"enum": [k for k in PACKED_KINDS if k != "Overlay"]}}},
                    "then": {"required": ["id"], "properties": {"id": {"errorMessage": "Give it an id."}}},
                    "errorMessage": "Each document is an object with its kind.",
                },
                "description": "Whole documents of the pack.",
                "errorMessage": f"Write a list of 1 to {MAX_DOCUMENTS} documents.",
            },
        },
        required=("version", "documents"),
        description="A named bundle of documents.",
        errorMessage="A pack is an object. Write {kind: Pack, id: payments, spec: {…}}.",
    ),
)


@dataclass(frozen=True, slots=True)
class PackDocument:
    """A parsed pack document. Of each entry in `documents` only kind and name were validated."""

    id: str
    name: str
    version: str
    documents: tuple[Mapping[str, Any], ...]

    @property
    def members(self) -> tuple[tuple[str, str], ...]:
        """Return kind and name of every document in the pack."""
        return tuple((document["kind"], member_name(document)) for document in self.documents)

    def as_spec(self) -> dict[str, Any]:
        """Return the spec that a version stores."""
        return {
            **({"name": self.name} if self.name else {}),
            "version": self.version,
            "documents": [dict(document) for document in self.documents],
        }


def parse_pack(value: Any) -> PackDocument:
    """Parse a whole document. Raises `DocumentInvalid` with a `FieldError` for every error.

    The documents in it are parsed when they are applied.
    """
    whole = {"kind": None, **value} if isinstance(value, Mapping) else value
    identifier, spec, base, errors = PACK_SCHEMA.parse(whole)
    place = pointer_to(base, "documents")
    documents = spec.get("documents", [])
    seen: set[tuple[str, str]] = set()
    for index, document in enumerate(documents if isinstance(documents, list) else ()):
        pointer = pointer_to(place, index)
        if errors.is_clean(pointer):
            _check(document, pointer, seen, errors)
    errors.raise_any(value=value)
    return PackDocument(str(identifier), spec.get("name", ""), spec["version"], tuple(documents))


def member_name(document: Mapping[str, Any]) -> str:
    """Return the name of a document in plans: its id, or for an overlay e.g. `payments on pack payments`."""
    if document["kind"] != "Overlay":
        return str(document["id"])
    overlay = parse_overlay(document)
    return f"{overlay.policy} on {overlay.scope}"


def _check(document: Mapping[str, Any], pointer: str, seen: set[tuple[str, str]], errors: FieldErrors) -> None:
    try:
        member = (str(document["kind"]), member_name(document))
    except DocumentInvalid as error:
        errors.extend(replace(entry, pointer=pointer + entry.pointer) for entry in error.errors)
        return
    if member in seen:
        errors.add(pointer, f"{' '.join(member)} occurs twice in this pack.", "repeated")
    seen.add(member)
