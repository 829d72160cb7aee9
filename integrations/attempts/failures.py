"""Classes of failed attempts, used by all connectors, the retry rule and the receipts."""

from __future__ import annotations

from enum import StrEnum


class FailureClass(StrEnum):
    """Reason of a failed attempt. Each is a reason code of the registry."""

    TIMEOUT = "timeout"
    CONNECTION_REFUSED = "connection_refused"
    RECEIVER_RATE_LIMITED = "receiver_rate_limited"
    REJECTED_BY_RECEIVER = "rejected_by_receiver"
    BAD_RESPONSE = "bad_response"
    BLOCKED_ADDRESS = "blocked_address"
    CREDENTIAL_UNAVAILABLE = "credential_unavailable"
    SECRET_ORIGIN_REFUSED = "secret_origin_refused"  # noqa: S105 - a reason code
    ATTACHMENT_MISMATCH = "attachment_mismatch"
    ATTACHMENT_UNAVAILABLE = "attachment_unavailable"
    ENVELOPE_MISMATCH = "envelope_mismatch"
    POLICY_DENIED = "policy_denied"
    WORKER_LOST = "worker_lost"
    DEADLINE_PASSED = "deadline_passed"
    APPROVAL_MISSING = "approval_missing"
    CONNECTOR_DISABLED = "connector_disabled"


class TransportFailure(Exception):
    """An attempt without a usable response.

    `ambiguous` is False only if no part of the request can have reached the receiver. `status` is the HTTP status if
    the response header was read and the body was unusable. `detail` is a sentence for people, without secrets.
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


def origin_refused(detail: str) -> TransportFailure:
    """Return the failure of a call to an address that its secret may not be sent to."""
    return TransportFailure(FailureClass.SECRET_ORIGIN_REFUSED, detail)


def envelope_mismatch(detail: str) -> TransportFailure:
    """Return the failure of an execution with an invalid envelope."""
    return TransportFailure(FailureClass.ENVELOPE_MISMATCH, detail)
