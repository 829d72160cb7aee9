"""Strict base64 and decimal numbers, so that every value has exactly one spelling."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class MalformedText(ValueError):
    """A note, checkpoint, key or proof violates its specification. The message says where."""


def encoded(data: bytes) -> str:
    """Return standard base64 with padding (RFC 4648, section 4)."""
    return base64.b64encode(data).decode("ascii")


def decoded(text: str, *, what: str) -> bytes:
    """Decode canonical base64. Raises `MalformedText` for any other spelling of the same bytes."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedText(f"{what} is not base64") from None
    if encoded(data) != text:
        raise MalformedText(f"{what} is not canonical base64")
    return data


def decimal(text: str, *, what: str) -> int:
    """Parse a whole number in ASCII digits without leading zeroes, below 10**19."""
    if not _DECIMAL.fullmatch(text):
        raise MalformedText(f"{what} is not a decimal number without leading zeroes")
    return int(text)
