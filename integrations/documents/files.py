"""Lists of attachments that an action sends, in the documents of several connectors. Pure."""

from __future__ import annotations

from typing import Final

from integrations.documents.fields import Fields
from integrations.documents.templates import Template
from threada_site.kernel.documents.structure import Schema

MOST_FILES: Final = 20


def files_schema(description: str, most: int = MOST_FILES) -> Schema:
    """Return the schema of a list of attachments."""
    return {
        "type": "array",
        "minItems": 1,
        "maxItems": most,
        "items": {"type": "string", "description": "An attachment of the payload, as one ${ … }."},
        "description": description,
        "examples": [["${item.payload.invoice}"]],
    }


def read_files(action: Fields, name: str = "files") -> tuple[Template, ...]:
    """Return the templates of the attachments of an action, or none if the member is absent."""
    return tuple(
        Fields({"file": file}, action.pointer(name, place), action.errors).template("file")
        for place, file in enumerate(action.value(name, []))
    )
