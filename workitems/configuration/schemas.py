"""Published JSON Schemas of documents: one for each kind, and `document` for documents of all kinds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.conf import settings

from policies.documents.pack import PACKED_KINDS
from threada_site.kernel.documents.kind_schema import DRAFT
from threada_site.kernel.documents.structure import Schema
from workitems.configuration.kinds import KINDS

ANY_KIND: Final = "document"


def schema_names() -> list[str]:
    """Return the names of all schemas: the kinds in lower case, and `document`."""
    return [*(kind.lower() for kind in KINDS), ANY_KIND]


def published_schema(name: str) -> Schema | None:
    """Return the JSON Schema with this name (upper and lower case are equal), or None if there is none."""
    name = name.lower()
    head: Schema = {"$schema": DRAFT, "$id": _address(name)}
    if name == ANY_KIND:
        title = {"title": "Document", "description": "A configuration document of any kind."}
        return {**head, **title, **_choice(KINDS), "$defs": _definitions(KINDS)}
    kind = next((kind for kind in KINDS if kind.lower() == name), None)
    if kind is None:
        return None
    definitions = _definitions(PACKED_KINDS if kind == "Pack" else ())
    body = _body(kind)
    return {**head, **body, "$defs": {**definitions, **KINDS[kind].schema().get("$defs", {})}}


def _address(name: str) -> str:
    base = settings.THREADA_PUBLIC_URL.rstrip("/")
    return f"{base}/schemas/{name}.json" if base else f"urn:threada:schema:{name}"


def _choice(kinds: Iterable[str]) -> Schema:
    """Return a schema that selects the schema of a document by its kind."""
    names = list(kinds)
    return {
        "type": "object",
        "properties": {"kind": {"enum": names, "description": "Kind of the document."}},
        "required": ["kind"],
        "allOf": [
            {"if": {"properties": {"kind": {"const": kind}}}, "then": {"$ref": f"#/$defs/{kind}"}} for kind in names
        ],
    }


def _definitions(kinds: Iterable[str]) -> Schema:
    """Return the schemas of kinds and what they refer to."""
    found: Schema = {}
    for kind in kinds:
        found |= {**KINDS[kind].schema().get("$defs", {}), kind: _body(kind)}
    return found


def _body(kind: str) -> Schema:
    """Return the schema of a kind without its head. A pack contains whole documents."""
    body = {name: of for name, of in KINDS[kind].schema().items() if name not in ("$schema", "$defs")}
    if kind != "Pack":
        return body
    spec = body["properties"]["spec"]
    documents = {**spec["properties"]["documents"], "items": _choice(PACKED_KINDS)}
    whole = {**spec, "properties": {**spec["properties"], "documents": documents}}
    return {**body, "properties": {**body["properties"], "spec": whole}}
