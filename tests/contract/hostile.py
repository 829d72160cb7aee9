"""Malformed and hostile request bodies with their reason codes."""

from __future__ import annotations

import json
from typing import Final

MALFORMED: Final = "malformed_json"
NOT_INTEROPERABLE: Final = "json_not_interoperable"
TOO_LARGE: Final = "payload_too_large"
WRONG_SHAPE: Final = "invalid_request"
STATUS: Final = {MALFORMED: 400, NOT_INTEROPERABLE: 400, TOO_LARGE: 413, WRONG_SHAPE: 422}

MEGABYTE: Final = 1_048_576
DEPTH: Final = 100_000


def _in_payload(value: bytes) -> bytes:
    return b'{"workflow_id": "home-flow", "payload": {"x": ' + value + b"}}"


# Bodies that JSON or I-JSON forbid; refused wherever a body is read.
UNREADABLE: Final[dict[str, tuple[bytes, str]]] = {
    "10 MB": (_in_payload(b'"' + b"a" * 10 * MEGABYTE + b'"'), TOO_LARGE),
    "10 MB of spaces": (b" " * 10 * MEGABYTE, TOO_LARGE),
    "100,000 keys": (json.dumps({f"key-{number:040}": 0 for number in range(100_000)}).encode(), TOO_LARGE),
    "depth of arrays": (_in_payload(b"[" * DEPTH + b"]" * DEPTH), NOT_INTEROPERABLE),
    "depth of objects": (b'{"a":' * DEPTH + b"1" + b"}" * DEPTH, NOT_INTEROPERABLE),
    "open brackets": (b"[" * DEPTH, NOT_INTEROPERABLE),
    "just too deep": (b"[" * 65 + b"]" * 65, NOT_INTEROPERABLE),
    "NaN": (_in_payload(b"NaN"), NOT_INTEROPERABLE),
    "Infinity": (_in_payload(b"Infinity"), NOT_INTEROPERABLE),
    "-Infinity": (_in_payload(b"-Infinity"), NOT_INTEROPERABLE),
    "NUL escape": (_in_payload(b'"a\\u0000b"'), NOT_INTEROPERABLE),
    "NUL escape in a key": (b'{"workflow_id": "home-flow", "payload": {"a\\u0000": 1}}', NOT_INTEROPERABLE),
    "NUL byte": (_in_payload(b'"a\x00b"'), MALFORMED),
    "high surrogate": (_in_payload(b'"\\ud800"'), NOT_INTEROPERABLE),
    "low surrogate": (_in_payload(b'"\\udc00\\ud800"'), NOT_INTEROPERABLE),
    "surrogate in UTF-8": (_in_payload(b'"\xed\xa0\x80"'), MALFORMED),
    "5,000 digits": (_in_payload(b"9" * 5000), NOT_INTEROPERABLE),
    "-5,000 digits": (_in_payload(b"-" + b"9" * 5000), NOT_INTEROPERABLE),
    "beyond 2^53": (_in_payload(b"9007199254740992"), NOT_INTEROPERABLE),
    "1e130000": (_in_payload(b"1e130000"), NOT_INTEROPERABLE),
    "-1e400": (_in_payload(b"-1e400"), NOT_INTEROPERABLE),
    "long fraction and exponent": (_in_payload(b"1." + b"0" * 5000 + b"e" + b"9" * 5000), NOT_INTEROPERABLE),
    "duplicate keys": (b'{"workflow_id": "a", "workflow_id": "home-flow", "payload": {}}', NOT_INTEROPERABLE),
    "duplicate keys, escaped": (_in_payload(b'{"a": 1, "\\u0061": 2}'), NOT_INTEROPERABLE),
    "invalid UTF-8": (_in_payload(b'"\xff\xfe"'), MALFORMED),
    "overlong UTF-8": (_in_payload(b'"\xc0\x80"'), MALFORMED),
    "UTF-16": ('{"workflow_id": "home-flow", "payload": {}}'.encode("utf-16"), MALFORMED),
    "byte order mark": (b"\xef\xbb\xbf{}", MALFORMED),
    "cut short": (_in_payload(b'"a')[:-3], MALFORMED),
    "two values": (b"{} {}", MALFORMED),
    "trailing comma": (b'{"a": 1,}', MALFORMED),
    "single quotes": (b"{'a': 1}", MALFORMED),
    "comment": (b"{} // no", MALFORMED),
    "leading zero": (_in_payload(b"01"), MALFORMED),
    "form data": (b"workflow_id=home-flow&payload=1", MALFORMED),
    "spaces": (b"   ", MALFORMED),
    "noise": (bytes(range(256)) * 16, MALFORMED),
}
# Valid JSON that has the wrong shape: not an object, or without required members.
MISSHAPEN: Final[dict[str, bytes]] = {
    "null": b"null",
    "true": b"true",
    "a number": b"42",
    "a string": b'"workflow_id"',
    "an array": b"[]",
    "80,000 keys": ("{" + ",".join(f'"{number:x}":0' for number in range(80_000)) + "}").encode(),
    "a long key": b'{"' + b"k" * 500_000 + b'": 1}',
    "other types": json.dumps(
        {"workflow_id": ["home-flow"], "payload": "x", "work_item_id": {}, "decision": 1, "spec": [], "channel_id": 7}
    ).encode(),
}

GARBAGE: Final = (
    "",
    " ",
    "\x00",
    "a\x00b",
    "'; DROP TABLE telemetry_receipt; --",
    "%",
    "%s",
    "../../etc/passwd",
    "\ud7ff\uffff",
    "\U0001f9ff",
    "9" * 5000,
    "-1",
    "1e130000",
    "NaN",
    "null",
    "[]",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "2026-02-30T00:00:00Z",
    "2026-01-01T00:00:00+99:99",
    "wi_7zzzzzzzzzzzzzzzzzzzzzzzzz",
    "wi_8zzzzzzzzzzzzzzzzzzzzzzzzz",
    "a" * 10_000,
    "\u0661",  # a non-ASCII digit
    "\r\nThreada-Tenant: abroad",
)
