"""Amounts of money in minor units. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from babel import Locale
from babel.numbers import format_currency, get_currency_precision

from policies.documents.annotations import is_known_currency

NEUTRAL: Final = Locale("en")
"""Locale of stored texts, which all readers share."""
_LARGEST: Final = 10**24
"""Larger amounts are shown as digits: they exceed the precision of the formatter."""


def whole_number_in(value: Any) -> int | None:
    """Return a whole number of JSON, also one that was written as 5.0. None for another value."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value if isinstance(value, int) else None


def money(amount: Any, currency: Any, *, locale: Locale = NEUTRAL) -> str | None:
    """Return an amount in minor units with its currency code: `EUR 67,936.61`.

    None if the amount is no whole number, the currency is unknown, or the amount has more than 24 digits.
    """
    minor = whole_number_in(amount)
    if minor is None or abs(minor) >= _LARGEST or not (isinstance(currency, str) and is_known_currency(currency)):
        return None
    exact = Decimal(minor).scaleb(-get_currency_precision(currency))
    return format_currency(exact, currency, format="¤¤ #,##0.00", locale=locale)
