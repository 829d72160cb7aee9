"""The annotation `x-threada` in payload schemas: how a value is displayed. It never affects validation. Pure.

x-threada: {format: money, currency: EUR}                   # whole minor units; the exponent follows from the currency
x-threada: {format: money, currency: {pointer: /currency}}  # a pointer into the payload
x-threada: {format: percent}                                # a fraction: 0.05 is 5 %
x-threada: {format: number}                                 # with the separators of the reader's language
x-threada: {format: duration}                               # whole seconds, or ISO 8601: PT2H30M
x-threada: {format: bytes}
x-threada: {format: person}                                 # a username or the id of a principal
x-threada: {format: file}                                   # an attachment
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from babel.numbers import is_currency

from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to

KEYWORD: Final = "x-threada"
FORMATS: Final = ("money", "percent", "number", "duration", "bytes", "person", "file")
_POINTER: Final = re.compile(r"(/([^~/]|~[01])*){1,16}")


@lru_cache(maxsize=1024)
def is_known_currency(code: str) -> bool:
    """Return True for a currency code of ISO 4217 in capitals."""
    return len(code) == 3 and code.isascii() and code.isupper() and is_currency(code)


def annotation_errors(annotation: Any, place: str) -> list[FieldError]:
    """Return the errors of one annotation. `place` is its pointer."""
    if not isinstance(annotation, dict):
        return [FieldError(place, "Write an object, for example {format: percent}.", "wrong_type")]
    given = annotation.get("format")
    if given not in FORMATS:
        return [FieldError(pointer_to(place, "format"), f"Use one of {', '.join(FORMATS)}.", "unknown")]
    allowed = {"format", "currency"} if given == "money" else {"format"}
    unknown = [
        FieldError(pointer_to(place, name), f"The format {given} has no field {name[:40]!r}.", "unknown_field")
        for name in annotation
        if name not in allowed
    ]
    if unknown or given != "money":
        return unknown
    return _currency_errors(annotation.get("currency"), pointer_to(place, "currency"))


def _currency_errors(currency: Any, place: str) -> list[FieldError]:
    if isinstance(currency, dict):
        pointer = currency.get("pointer")
        if set(currency) == {"pointer"} and isinstance(pointer, str) and _POINTER.fullmatch(pointer):
            return []
        return [FieldError(place, "Point at the currency in the payload, for example {pointer: /currency}.")]
    if isinstance(currency, str) and is_known_currency(currency):
        return []
    return [FieldError(place, "Name a currency of ISO 4217, for example EUR, or write {pointer: /currency}.")]
