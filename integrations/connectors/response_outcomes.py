"""Classification of HTTP responses: the outcome of each status, and the recorded part of the body.

| status | outcome |
|---|---|
| 2xx | succeeded; `bad_response` (ambiguous) if the content type is JSON and the body is not |
| 429; 503 with Retry-After; 425 | `receiver_rate_limited`: the receiver states that it has not acted |
| 408 | `timeout`, ambiguous, because gateways send it too |
| 307, 308 | `rejected_by_receiver`: redirects are not followed, and the receiver has done nothing |
| other 4xx | `rejected_by_receiver` |
| 5xx, other 3xx, 1xx | `bad_response`, ambiguous |

A judge can state the outcome of 2xx (`exchange.Judge`): `succeeds_when` of an action, or the protocol of a connector.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from integrations.attempts.failures import FailureClass
from integrations.attempts.outcomes import Outcome
from integrations.transport import OutboundAnswer
from threada_site.kernel.errors import JsonNotInteroperable, MalformedJson
from threada_site.kernel.json.strict import parse_json

MAX_RECORDED_BYTES: Final = 16 * 1024


def outcome_of_answer(answer: OutboundAnswer, *, now: datetime, secrets: Sequence[str] = ()) -> Outcome:
    """Return the outcome of a complete response.

    `response` is `{status, content_type, body, truncated, elapsed_ms}`. `body` is the JSON value if the response is
    I-JSON of at most 16 KB, else text truncated to that size. A response that contains one of `secrets` is recorded as
    redacted text.
    """
    retry_after_s = _retry_after(answer.header("retry-after"), now)
    judged = outcome_of_status(answer.status, retry_after_s=retry_after_s)
    body, truncated, readable = _recorded_body(answer, secrets)
    response = {
        "status": answer.status,
        "content_type": (answer.header("content-type") or "")[:200] or None,
        "body": body,
        "truncated": truncated,
        "elapsed_ms": answer.elapsed_ms,
    }
    if judged.succeeded and not readable:
        detail = f"The receiver answered {answer.status} with a body that is declared as JSON but is not JSON."
        return Outcome(failure=FailureClass.BAD_RESPONSE, ambiguous=True, detail=detail, response=response)
    return Outcome(
        failure=judged.failure,
        ambiguous=judged.ambiguous,
        retry_after_s=judged.retry_after_s,
        detail=judged.detail,
        response=response,
    )


def outcome_of_status(status: int, *, retry_after_s: float | None = None) -> Outcome:
    """Return the outcome of a status alone, according to the table above."""
    if 200 <= status < 300:
        return Outcome(response={"status": status})
    if status in (425, 429) or (status == 503 and retry_after_s is not None):
        failure, ambiguous = FailureClass.RECEIVER_RATE_LIMITED, False
    elif status == 408:
        failure, ambiguous = FailureClass.TIMEOUT, True
    elif status in (307, 308) or 400 <= status < 500:
        failure, ambiguous = FailureClass.REJECTED_BY_RECEIVER, False
    else:
        failure, ambiguous = FailureClass.BAD_RESPONSE, True
    return Outcome(
        failure=failure,
        ambiguous=ambiguous,
        retry_after_s=retry_after_s,
        detail=f"The receiver answered {status}{_phrase(status)}.",
        response={"status": status},
    )


def _phrase(status: int) -> str:
    try:
        return f" ({HTTPStatus(status).phrase})"
    except ValueError:
        return ""


def _retry_after(value: str | None, now: datetime) -> float | None:
    """Return the delay in seconds from either form of RFC 9110, section 10.2.3, or None if absent or invalid."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


def _recorded_body(answer: OutboundAnswer, secrets: Sequence[str]) -> tuple[Any, bool, bool]:
    """Return the recorded body, True if it was truncated, and True if it matches its content type."""
    raw = answer.body.removeprefix(b"\xef\xbb\xbf")
    if not raw.strip():
        return None, False, True
    value: Any = None
    is_json, readable = False, True
    if says_json(answer.header("content-type") or ""):
        try:
            value = parse_json(raw)
            is_json = True
        except JsonNotInteroperable:
            pass  # JSON that parsers read differently: recorded as text
        except MalformedJson:
            readable = False
    text = raw.decode("utf-8", "replace").replace("\x00", "\ufffd")
    redacted = without(text, secrets)
    if is_json and redacted == text and len(raw) <= MAX_RECORDED_BYTES:
        return value, False, True
    kept = redacted.encode()[:MAX_RECORDED_BYTES].decode("utf-8", "ignore")
    return kept, kept != redacted, readable


def says_json(content_type: str) -> bool:
    """Return True if a Content-Type is one of JSON."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def without(text: str, secrets: Sequence[str]) -> str:
    """Replace the secrets in `text`: plain, inside JSON strings, and percent-encoded."""
    for secret in secrets:
        for form in {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}:
            text = text.replace(form, "[redacted]")
    return text
