"""Signatures of webhooks and callbacks, as in Standard Webhooks (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Final

from threada_client.errors import SignatureInvalid

TOLERANCE_S: Final = 300
_PREFIX: Final = "whsec_"
_FEWEST_BYTES: Final = 24
_MOST_SIGNATURES: Final = 8
_HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secrets: Sequence[str],
    *,
    tolerance_s: int = TOLERANCE_S,
    now: float | None = None,
) -> str:
    """Return the id of a webhook that is signed by one of `secrets`. Raise `SignatureInvalid` otherwise.

    Store the ids that were handled: a repeated delivery has the same id. While a secret is rotated, give both. Read the
    body as bytes: parsed and written JSON is another text.
    """
    message_id, timestamp, signatures = _read(headers)
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise SignatureInvalid("webhook-timestamp is no time.")
    if abs((time.time() if now is None else now) - int(timestamp)) > tolerance_s:
        raise SignatureInvalid(f"webhook-timestamp is more than {tolerance_s} s off.")
    expected = [_signature(body, message_id, timestamp, _key(secret)) for secret in secrets]
    # Every pair is compared, so that the time does not tell which secret signed.
    matches = [
        hmac.compare_digest(sent.encode(), right)
        for sent in signatures.split(" ")[:_MOST_SIGNATURES]
        for right in expected
    ]
    if not any(matches):
        raise SignatureInvalid("No signature is made by one of the secrets.")
    return message_id


def sign_callback(
    body: bytes, secret: str, *, message_id: str | None = None, now: float | None = None
) -> dict[str, str]:
    """Return the headers of a callback, the report of an outcome to the address in `Threada-Callback-Url`.

    A repetition of the same report has the same `message_id`.
    """
    message_id = message_id or f"msg_{uuid.uuid4().hex}"
    timestamp = str(int(time.time() if now is None else now))
    signature = _signature(body, message_id, timestamp, _key(secret)).decode()
    return {**dict(zip(_HEADERS, (message_id, timestamp, signature), strict=True)), "content-type": "application/json"}


verify_callback = verify_webhook
"""Callbacks are signed like webhooks."""


def _read(headers: Mapping[str, str]) -> tuple[str, str, str]:
    """Return id, timestamp and signatures. Header names are read in any case."""
    found = {name.lower(): value for name, value in headers.items()}
    missing = [name for name in _HEADERS if not found.get(name)]
    if missing:
        raise SignatureInvalid(f"{', '.join(missing)} is missing.")
    message_id, timestamp, signatures = (found[name] for name in _HEADERS)
    return message_id, timestamp, signatures


def _key(secret: str) -> bytes:
    """Return the key in `whsec_<base64>`, or the bytes of any other text. Raise `ValueError` below 24 bytes."""
    key = secret.encode()
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            raise ValueError("The secret is not whsec_ and base64.") from None
    if len(key) < _FEWEST_BYTES:
        raise ValueError(f"The secret is shorter than {_FEWEST_BYTES} bytes.")
    return key


def _signature(body: bytes, message_id: str, timestamp: str, key: bytes) -> bytes:
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return b"v1," + base64.b64encode(digest)
