"""Parser of `kind: List` documents: named values that rules read with `x in lists.name`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from policies.language.document_header import read_header
from policies.language.field_errors import FieldErrors
from threada_site.kernel.errors import DocumentInvalid
from threada_site.kernel.json.pointers import pointer_to

MAX_ITEMS: Final = 10_000
"""A decision passes every list that its rules name to the engine; this many items take about 1 ms."""
MAX_ITEM_LENGTH: Final = 1024

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
    errors = FieldErrors()
    if not isinstance(value, Mapping):
        raise DocumentInvalid("A list is an object with items. Write {items: [...]}.")
    identifier, spec, base = read_header(value, "List", errors)
    errors.known_fields(spec, ("items",), base)
    _check_items(spec.get("items"), pointer_to(base, "items"), errors)
    if errors.found:
        raise DocumentInvalid(errors=errors.found)
    return ListDocument(identifier, tuple(spec["items"]))


def _check_items(items: Any, pointer: str, errors: FieldErrors) -> None:
    if not isinstance(items, list):
        errors.add(pointer, "items must be a list of strings or numbers.", "wrong_type")
        return
    if len(items) > MAX_ITEMS:
        errors.add(pointer, f"A list holds at most {MAX_ITEMS} items. Split it.", "too_large")
        return
    for index, item in enumerate(items):
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            errors.add(pointer_to(pointer, index), "An item must be a string or a number. Quote it.", "wrong_type")
        elif isinstance(item, str) and len(item) > MAX_ITEM_LENGTH:
            errors.add(pointer_to(pointer, index), f"An item has at most {MAX_ITEM_LENGTH} characters.", "too_large")
