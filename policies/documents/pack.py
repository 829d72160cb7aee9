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
from dataclasses import dataclass
from typing import Any, Final

from policies.documents.overlay import parse_overlay
from policies.language.document_header import read_header
from policies.language.field_errors import FieldErrors
from threada_site.kernel.errors import DocumentInvalid
from threada_site.kernel.ids import is_slug
from threada_site.kernel.json.pointers import pointer_to

MAX_DOCUMENTS: Final = 500
MAX_NAME: Final = 200
MAX_VERSION: Final = 64
PACKED_KINDS: Final = ("Channel", "List", "Workflow", "Integration", "Policy", "Overlay")
"""Document kinds allowed in a pack. Roles, groups, calendars and retention belong to the tenant."""


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
    errors = FieldErrors()
    if not isinstance(value, Mapping):
        raise DocumentInvalid("A pack is an object. Write {kind: Pack, id: payments, spec: {…}}.")
    identifier, spec, base = read_header({"kind": None, **value}, "Pack", errors)
    errors.known_fields(spec, ("name", "version", "documents"), base)
    name = _text(spec, "name", base, MAX_NAME, errors, default="")
    version = _text(spec, "version", base, MAX_VERSION, errors)
    documents = spec.get("documents")
    place = pointer_to(base, "documents")
    if not isinstance(documents, list) or not documents:
        errors.add(place, "documents must be a list of at least one document.", "required")
        documents = []
    if len(documents) > MAX_DOCUMENTS:
        errors.add(place, f"A pack contains at most {MAX_DOCUMENTS} documents. Split it.", "too_large")
        documents = []
    seen: set[tuple[str, str]] = set()
    for index, document in enumerate(documents):
        _check(document, pointer_to(place, index), seen, errors)
    if errors.found:
        raise DocumentInvalid(errors=errors.found)
    return PackDocument(str(identifier), name, version, tuple(documents))


def member_name(document: Mapping[str, Any]) -> str:
    """Return the name of a document in plans: its id, or for an overlay e.g. `payments on pack payments`."""
    if document["kind"] != "Overlay":
        return str(document["id"])
    overlay = parse_overlay(document)
    return f"{overlay.policy} on {overlay.scope}"


def _check(document: Any, pointer: str, seen: set[tuple[str, str]], errors: FieldErrors) -> None:
    if not isinstance(document, Mapping):
        errors.add(pointer, "Each document is an object with its kind.", "wrong_type")
        return
    if not errors.one_of(document.get("kind"), PACKED_KINDS, pointer_to(pointer, "kind"), "kind allowed in a pack"):
        return
    slug = document.get("id")
    if document["kind"] != "Overlay" and not (isinstance(slug, str) and is_slug(slug)):
        errors.add(pointer_to(pointer, "id"), "Give it an id.", "required")
        return
    try:
        member = (str(document["kind"]), member_name(document))
    except DocumentInvalid as error:
        for entry in error.errors:
            errors.add(pointer + entry.pointer, entry.detail, entry.code)
        return
    if member in seen:
        errors.add(pointer, f"{' '.join(member)} occurs twice in this pack.", "repeated")
    seen.add(member)


def _text(
    spec: Mapping[str, Any],
    field: str,
    base: str,
    longest: int,
    errors: FieldErrors,
    *,
    default: str | None = None,
) -> str:
    text = spec.get(field, default)
    if isinstance(text, str) and len(text) <= longest and (text or default is not None):
        return text
    code = "invalid" if field in spec else "required"
    errors.add(pointer_to(base, field), f"{field} is text of 1 to {longest} characters, in quotes.", code)
    return ""
