"""Parser of `kind: List` documents: named values that rules read with `x in lists.name`. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from threada_site.kernel.documents.kind_schema import KindSchema
from threada_site.kernel.documents.structure import Schema, closed_object

MAX_ITEMS: Final = 10_000
"""A decision passes every list that its rules name to the engine; this many items take about 1 ms."""
MAX_ITEM_LENGTH: Final = 1024
ITEM: Final[Schema] = {
    "type": ["string", "number"],
    "maxLength": MAX_ITEM_LENGTH,
    "errorMessage": f"An item is text of at most {MAX_ITEM_LENGTH} characters, or a number.",
}

LIST_SCHEMA: Final = KindSchema(
    "List",
    closed_object(
        {
            "items": {
                "type": "array",
                "maxItems": MAX_ITEMS,
                "items": ITEM,
                "description": "Values of the list.",
                "examples": [["Initech", "Globex"]],
                "errorMessage": f"Write a list of at most {MAX_ITEMS} strings or numbers.",
            }
        },
        required=("items",),
        description="Named values that rules read with `x in lists.name`.",
        errorMessage="A list is an object with items. Write {items: [...]}.",
    ),
)

type Item = str | int | float


@dataclass(frozen=True, slots=True)
class ListDocument:
    """A parsed list document. `id` is None for a bare spec."""

    id: str | None
    items: tuple[Item, ...]


def parse_list(value: Any) -> ListDocument:
    """Parse a whole document (`kind`, `id`, `spec`) or a bare spec (`items`).

    Raises `DocumentInvalid` with a `FieldError` for every error.
    """
    identifier, spec, _, errors = LIST_SCHEMA.parse(value)
    errors.raise_any(value=value)
    return ListDocument(identifier, tuple(spec["items"]))
