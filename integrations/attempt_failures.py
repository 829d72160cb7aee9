"""The typed ways an attempt fails. Every connector, the retry rule and the receipts use these words and no others."""

from __future__ import annotations

from enum import StrEnum


class FailureClass(StrEnum):
    """Why an attempt failed; each is a reason code of the registry."""

    TIMEOUT = "timeout"
    CONNECTION_REFUSED = "connection_refused"
    RATE_LIMITED = "rate_limited"
    REJECTED_BY_RECEIVER = "rejected_by_receiver"
    BAD_RESPONSE = "bad_response"
    BLOCKED_ADDRESS = "blocked_address"
    CREDENTIAL_UNAVAILABLE = "credential_unavailable"
    ENVELOPE_MISMATCH = "envelope_mismatch"
    POLICY_DENIED = "policy_denied"
    WORKER_LOST = "worker_lost"
    DEADLINE_PASSED = "deadline_passed"


class TransportFailure(Exception):
    """An attempt that brought no usable answer.

    `ambiguous` says whether the receiver may have acted: False only when nothing of the request can have reached it.
    `status` is the HTTP status when the answer's head was read and its body could not be used.
    `detail` is a sentence for people; it holds no secret.
    """

    def __init__(
        self,
        failure: FailureClass,
        detail: str,
        *,
        ambiguous: bool = False,
        retry_after_s: float | None = None,
        status: int | None = None,
    ) -> None:
        self.failure = failure
        self.detail = detail
        self.ambiguous = ambiguous
        self.retry_after_s = retry_after_s
        self.status = status
        super().__init__(f"{failure}: {detail}")
