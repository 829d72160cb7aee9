"""Signatures according to Standard Webhooks (https://www.standardwebhooks.com, symmetric signatures). Pure.

The library signs. Checking stays here: its `verify` takes no time and raises on malformed signatures.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

PREFIX: Final = "whsec_"
TOLERANCE_S: Final = 300
MOST_SIGNATURES: Final = 8
_FEWEST_BYTES: Final = 24


def signing_key(secret: str) -> bytes:
    """Return the key in `whsec_<base64>`, or the bytes of any other text of at least 24 bytes. Raises `ValueError`."""
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
    """Return the three headers of a message, with one signature per key.

    A retry has the same id and a new timestamp.
    """
    timestamp = str(int(at.timestamp()))
    return (
        ("webhook-id", message_id),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", " ".join(_signature(body.decode(), message_id, timestamp, key) for key in keys)),
    )


def is_signed(body: bytes, headers: Mapping[str, str], *, keys: Sequence[bytes], now: datetime) -> bool:
    """Return True if the headers contain a valid signature of this body by one of the keys, at most five minutes
    old."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not message_id or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    if abs(int(now.timestamp()) - int(timestamp)) > TOLERANCE_S:
        return False
    sent = headers.get("webhook-signature", "").split(" ")[:MOST_SIGNATURES]
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return False
    expected = [_signature(text, message_id, timestamp, key).encode() for key in keys]
    return any(hmac.compare_digest(one.encode(), right) for one in sent for right in expected)


def _signature(body: str, message_id: str, timestamp: str, key: bytes) -> str:
    return Webhook(key).sign(message_id, datetime.fromtimestamp(int(timestamp), UTC), body)
