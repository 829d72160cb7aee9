"""CloudEvents 1.0 in the JSON event format (https://github.com/cloudevents/spec). Pure.

There are two framings: `CloudEventLinesEncoder` writes one event in structured mode per line, `CloudEventBatchEncoder`
writes the JSON array of the batch format. The `data` of an event is the receipt's body, with the bytes that were
hashed. Extension attributes: `bodysha256`, `correlationid`, and `sequence` for deliveries (lower-case letters and
digits only).
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import orjson

from telemetry.exports.formats.encoder import Bodies

TYPE_PREFIX: Final = "threada."


def event_bytes(body: bytes, **extensions: str | int) -> bytes:
    """Return a receipt's body as one event in structured mode, without a line break."""
    receipt: dict[str, Any] = orjson.loads(body)
    attributes: dict[str, Any] = {
        "specversion": "1.0",
        "id": receipt["id"],
        "source": f"urn:threada:tenant:{receipt['tenant']}",
        "type": TYPE_PREFIX + receipt["kind"],
        "time": receipt["occurred_at"],
    }
    about = receipt["subject"].get("work_item_id") or receipt["subject"].get("execution_id")
    if about:
        attributes["subject"] = about
    attributes["datacontenttype"] = "application/json"
    attributes["bodysha256"] = hashlib.sha256(body).hexdigest()
    if receipt.get("correlation_id"):
        attributes["correlationid"] = receipt["correlation_id"]
    attributes |= extensions
    return orjson.dumps(attributes)[:-1] + b',"data":' + body + b"}"


def deleted_event_bytes(receipt_id: str, *, tenant: str, leaf_hash: bytes, **extensions: str | int) -> bytes:
    """Return the event that replaces a receipt deleted by retention: its id and its leaf hash in the log (RFC 6962)."""
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": receipt_id,
            "source": f"urn:threada:tenant:{tenant}",
            "type": f"{TYPE_PREFIX}receipt.deleted",
            "leafhash": leaf_hash.hex(),
            **extensions,
        }
    )


class CloudEventLinesEncoder:
    """Encoder of one event per line."""

    def header(self) -> bytes:
        return b""

    def encode(self, bodies: Bodies) -> bytes:
        return b"".join(event_bytes(bytes(body)) + b"\n" for body in bodies)

    def footer(self) -> bytes:
        return b""


class CloudEventBatchEncoder:
    """Encoder of one JSON array, with one event per line."""

    def __init__(self) -> None:
        self._is_first = True

    def header(self) -> bytes:
        return b"["

    def encode(self, bodies: Bodies) -> bytes:
        parts = b",\n".join(event_bytes(bytes(body)) for body in bodies)
        before, self._is_first = (b"\n" if self._is_first else b",\n"), False
        return before + parts

    def footer(self) -> bytes:
        return b"\n]\n"
