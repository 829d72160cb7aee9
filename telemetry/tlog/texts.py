"""What the C2SP texts share: strict base64 and decimals, so that equal meaning has one spelling."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class MalformedText(ValueError):
    """A note, checkpoint, key or proof that does not keep to its specification; the message says where."""


def encoded(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648, section 4)."""
    return base64.b64encode(data).decode("ascii")


def decoded(text: str, *, what: str) -> bytes:
    """The bytes of canonical base64: any other spelling of the same bytes is refused."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedText(f"{what} is not base64") from None
    if encoded(data) != text:
        raise MalformedText(f"{what} is not canonical base64")
    return data


def decimal(text: str, *, what: str) -> int:
    """A whole number in ASCII digits without leading zeroes, below 10**19."""
    if not _DECIMAL.fullmatch(text):
        raise MalformedText(f"{what} is not a decimal number without leading zeroes")
    return int(text)
