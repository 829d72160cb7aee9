"""The annotation `x-threada` in payload schemas: how a value is displayed. It never affects validation, except that
values of the format `file` name attachments, which the server checks and completes. Pure.

x-threada: {format: money, currency: EUR}                   # whole minor units; the exponent follows from the currency
x-threada: {format: money, currency: {pointer: /currency}}  # a pointer into the payload
x-threada: {format: percent}                                # a fraction: 0.05 is 5 %
x-threada: {format: number}                                 # with the separators of the reader's language
x-threada: {format: duration}                               # whole seconds, or ISO 8601: PT2H30M
x-threada: {format: bytes}
x-threada: {format: person}                                 # a username or the id of a principal
x-threada: {format: file}                                   # an attachment; the value is an object
x-threada: {format: file, types: [application/pdf], max_bytes: 5000000}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from babel.numbers import is_currency

from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to
from threada_site.kernel.media_types import KNOWN

KEYWORD: Final = "x-threada"
FORMATS: Final = ("money", "percent", "number", "duration", "bytes", "person", "file")
_FIELDS: Final = {"money": {"format", "currency"}, "file": {"format", "types", "max_bytes"}}
_POINTER: Final = re.compile(r"(/([^~/]|~[01])*){1,16}")


@lru_cache(maxsize=1024)
def is_known_currency(code: str) -> bool:
    """Return True for a currency code of ISO 4217 in capitals."""
    return len(code) == 3 and code.isascii() and code.isupper() and is_currency(code)


def annotation_errors(annotation: Any, place: str, *, of: Any = None) -> list[FieldError]:
    """Return the errors of one annotation. `place` is its pointer, `of` the type of the values of its schema."""
    if not isinstance(annotation, dict):
        return [FieldError(place, "Write an object, for example {format: percent}.", "wrong_type")]
    given = annotation.get("format")
    if given not in FORMATS:
        return [FieldError(pointer_to(place, "format"), f"Use one of {', '.join(FORMATS)}.", "unknown")]
    allowed = _FIELDS.get(given, {"format"})
    unknown = [
        FieldError(pointer_to(place, name), f"The format {given} has no field {name[:40]!r}.", "unknown_field")
        for name in annotation
        if name not in allowed
    ]
    if given == "file" and not unknown:
        return list(_file_errors(annotation, place, of))
    if unknown or given != "money":
        return unknown
    return _currency_errors(annotation.get("currency"), pointer_to(place, "currency"))


def _file_errors(annotation: dict[str, Any], place: str, of: Any) -> Iterator[FieldError]:
    if of not in ("object", ["object"], ["object", "null"], ["null", "object"]):
        yield FieldError(place, "A field of the format file has the type object.", "wrong_type")
    types, most = annotation.get("types", []), annotation.get("max_bytes", 1)
    if not isinstance(types, list) or not all(isinstance(name, str) and name in KNOWN for name in types):
        yield FieldError(pointer_to(place, "types"), f"Write a list out of {', '.join(KNOWN)}.", "unknown")
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        yield FieldError(pointer_to(place, "max_bytes"), "Write a number of bytes from 1.", "wrong_type")


def _currency_errors(currency: Any, place: str) -> list[FieldError]:
    if isinstance(currency, dict):
        pointer = currency.get("pointer")
        if set(currency) == {"pointer"} and isinstance(pointer, str) and _POINTER.fullmatch(pointer):
            return []
        return [FieldError(place, "Point at the currency in the payload, for example {pointer: /currency}.")]
    if isinstance(currency, str) and is_known_currency(currency):
        return []
    return [FieldError(place, "Name a currency of ISO 4217, for example EUR, or write {pointer: /currency}.")]
