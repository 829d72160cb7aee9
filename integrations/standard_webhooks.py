"""Signing messages as Standard Webhooks has it (https://www.standardwebhooks.com, symmetric signatures). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

PREFIX: Final = "whsec_"
_FEWEST_BYTES: Final = 24


def signing_key(secret: str) -> bytes:
    """The key in `whsec_<base64>`; any other text of at least 24 bytes is the key itself. Raises `ValueError`."""
    key = secret.encode()
    if secret.startswith(PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            raise ValueError("is not whsec_ and base64") from None
    if len(key) < _FEWEST_BYTES:
        raise ValueError(f"is shorter than {_FEWEST_BYTES} bytes")
    return key


def signed_headers(body: bytes, *, message_id: str, at: datetime, keys: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
    """The three headers of a message, with a signature of each key. A retry has the same id, and a time of its own."""
    timestamp = str(int(at.timestamp()))
    return (
        ("webhook-id", message_id),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", " ".join(_signature(body, message_id, timestamp, key) for key in keys)),
    )


def _signature(body: bytes, message_id: str, timestamp: str, key: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"
