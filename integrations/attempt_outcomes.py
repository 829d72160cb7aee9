"""What came of one attempt, as connectors answer it and attempts and receipts record it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from integrations.attempt_failures import FailureClass, TransportFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One attempt's end.

    `failure` is None exactly when it succeeded. `ambiguous` says whether the receiver may have acted although the
    attempt failed. `detail` is a sentence for people. `response` is the recorded answer as JSON (None when there was
    none), bounded and without secrets; its shape is the connector's.
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
        """The outcome of an attempt that brought no usable answer."""
        return cls(
            failure=failure.failure,
            ambiguous=failure.ambiguous,
            retry_after_s=failure.retry_after_s,
            detail=failure.detail,
            response=None if failure.status is None else {"status": failure.status},
        )
