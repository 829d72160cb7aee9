"""Amounts of money as people type them: major units of a currency, stored in minor units. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from babel.numbers import get_currency_precision

_AMOUNT: Final = re.compile(r"(-?)([0-9]{1,15})(?:[.,]([0-9]{1,4}))?")


def places_of(currency: str) -> int:
    """Return the number of decimal places of a currency."""
    return int(get_currency_precision(currency))


def minor_units(text: str, currency: str) -> int | None:
    """Return an amount in minor units; None if the text is no amount of the currency.

    One point or comma may separate the decimal places, of which there are no more than the currency has. Thousands are
    not separated. A comma is refused where three decimal places would make it ambiguous.
    """
    found = _AMOUNT.fullmatch(text.strip().replace(" ", ""))
    places = places_of(currency)
    if found is None:
        return None
    sign, whole, fraction = found[1], found[2], found[3] or ""
    if len(fraction) > places or (places > 2 and "," in text):
        return None
    return int(Decimal(f"{sign}{whole}.{fraction or 0}").scaleb(places))


def major_units(minor: int, currency: str) -> str:
    """Return an amount in minor units as text in major units, with all decimal places: 1250 is "12.50"."""
    places = places_of(currency)
    return f"{Decimal(minor).scaleb(-places):.{places}f}"
