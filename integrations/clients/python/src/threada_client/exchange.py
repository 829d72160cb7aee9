"""Requests, answers and retries without I/O. Imports no HTTP library.

An operation is a generator: it yields a `Request` or a `Pause`, and receives the `Answer`. Transports carry both out,
synchronously or asynchronously, so that each operation is written once.
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

from threada_client.errors import ConnectionFailed, UnexpectedAnswer, refusal

ATTEMPTS: Final = 5
LONGEST_PAUSE_S: Final = 30.0
_FIRST_PAUSE_S: Final = 0.25
_NOTHING_DONE: Final = 429
_PERHAPS_DONE: Final = frozenset({502, 503, 504})
"""Answers of proxies, or of a server that has lost its database: the server may have acted."""


@dataclass(frozen=True)
class Request:
    """One HTTP request. With `into`, the body of a successful answer is written to that file."""

    method: str
    path: str
    query: Mapping[str, str | int | Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    into: Path | None = None

    @property
    def is_repeatable(self) -> bool:
        """True if the server treats a repetition as the same request."""
        return self.method in {"GET", "PUT", "DELETE"} or "Idempotency-Key" in self.headers


@dataclass(frozen=True)
class Answer:
    """One HTTP response. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as a value. Raise `UnexpectedAnswer` if it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise UnexpectedAnswer(f"The answer ({self.status}) is no JSON: {self.body[:200]!r}") from None


@dataclass(frozen=True)
class Pause:
    """Wait of a number of seconds."""

    seconds: float


type Steps[T] = Generator[Request | Pause, Answer, T]


def new_key() -> str:
    """Return a new idempotency key."""
    return str(uuid.uuid4())


def answered(request: Request) -> Steps[Answer]:
    """Send a request until it is answered, with the same idempotency key each time.

    Raise `ConnectionFailed` if no answer arrives, and the error of the problem document for a refusal.
    """
    for attempt in range(1, ATTEMPTS + 1):
        is_last = attempt == ATTEMPTS
        try:
            answer = yield request
        except ConnectionFailed:
            if is_last or not request.is_repeatable:
                raise
            yield Pause(_backoff(attempt))
            continue
        if answer.status < 300 or answer.status == 304:
            return answer
        if is_last or not _is_worth_repeating(request, answer):
            raise _refusal_in(answer)
        yield Pause(max(_backoff(attempt), _retry_after(answer)))
    raise AssertionError("unreachable")


def _is_worth_repeating(request: Request, answer: Answer) -> bool:
    if _retry_after(answer) > LONGEST_PAUSE_S:
        return False
    if answer.status == _NOTHING_DONE:
        return True
    if answer.status == 409:
        return b'"idempotency_in_flight"' in answer.body
    return answer.status in _PERHAPS_DONE and request.is_repeatable


def _backoff(attempt: int) -> float:
    """Return a random part of a pause that doubles, so that clients do not return together."""
    return float(_FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))  # noqa: S311  (no secret)


def _retry_after(answer: Answer) -> float:
    """Return the seconds in `Retry-After`, a number or a date; 0 without one."""
    value = answer.headers.get("retry-after", "")
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _refusal_in(answer: Answer) -> Exception:
    try:
        document = answer.json()
    except UnexpectedAnswer as unexpected:
        return unexpected
    if not isinstance(document, dict) or "reason_code" not in document:
        return UnexpectedAnswer(f"The answer ({answer.status}) is no problem document: {answer.body[:200]!r}")
    return refusal(document, answer.status)
