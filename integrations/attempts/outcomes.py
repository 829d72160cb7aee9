"""Result of one attempt, as returned by connectors and recorded in attempts and receipts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from integrations.attempts.failures import FailureClass, TransportFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Result of one attempt.

    `failure` is None only for success. `ambiguous` is True if the receiver may have acted although the attempt failed.
    `detail` is a sentence for people. `response` is the recorded response as JSON (None if there was none), bounded and
    without secrets; each connector defines its members.
    """

    failure: FailureClass | None = None
    ambiguous: bool = False
    retry_after_s: float | None = None
    detail: str = ""
    response: dict[str, Any] | None = None

    @property
    def succeeded(self) -> bool:
        return self.failure is None

    @classmethod
    def of_failure(cls, failure: TransportFailure) -> Self:
        """Return the outcome of an attempt without a usable response."""
        return cls(
            failure=failure.failure,
            ambiguous=failure.ambiguous,
            retry_after_s=failure.retry_after_s,
            detail=failure.detail,
            response=None if failure.status is None else {"status": failure.status},
        )
