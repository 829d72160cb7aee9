"""Python client of Threada.

`Threada` is synchronous, `AsyncThreada` asynchronous; both have the same operations.
"""

from threada_client.client import AsyncThreada, Threada
from threada_client.errors import (
    Changed,
    ConnectionFailed,
    CredentialRefused,
    EnvelopeChanged,
    ExecutionFailed,
    InvalidRequest,
    NotAuthorized,
    NotFound,
    PolicyDenied,
    RateLimited,
    Refused,
    RefusedByPolicy,
    SignatureInvalid,
    ThreadaError,
    UnexpectedAnswer,
    ValidationFailed,
    WaitTimedOut,
)
from threada_client.signatures import sign_callback, verify_callback, verify_webhook
from threada_client.verification import Verification, verify

__all__ = [
    "AsyncThreada",
    "Changed",
    "ConnectionFailed",
    "CredentialRefused",
    "EnvelopeChanged",
    "ExecutionFailed",
    "InvalidRequest",
    "NotAuthorized",
    "NotFound",
    "PolicyDenied",
    "RateLimited",
    "Refused",
    "RefusedByPolicy",
    "SignatureInvalid",
    "Threada",
    "ThreadaError",
    "UnexpectedAnswer",
    "ValidationFailed",
    "Verification",
    "WaitTimedOut",
    "sign_callback",
    "verify",
    "verify_callback",
    "verify_webhook",
]
