"""Lifecycles of an execution, one governed run of an action, and of a test of an integration.

A frozen execution stays `started`; one that waits for the receiver's callback stays `running`. Both are attributes.
Pure.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from threada_site.kernel.lifecycles import Lifecycle


class ExecutionStatus(StrEnum):
    """Status of an execution."""

    AWAITING_APPROVAL = "awaiting_approval"
    STARTED = "started"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    OUTCOME_UNKNOWN = "outcome_unknown"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class IntegrationTestStatus(StrEnum):
    """Status of a test of an integration."""

    QUEUED = "queued"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"


class ToolStatus(StrEnum):
    """Status of a tool of an MCP server. It follows from the digests that were found and accepted."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    CHANGED = "changed"
    REMOVED = "removed"


_E, _T = ExecutionStatus, IntegrationTestStatus

EXECUTION: Final = Lifecycle(
    noun="an execution",
    transitions=MappingProxyType(
        {
            # To `failed`: a newer policy version denies the waiting execution.
            _E.AWAITING_APPROVAL: frozenset({_E.STARTED, _E.REJECTED, _E.EXPIRED, _E.CANCELLED, _E.FAILED}),
            # To `awaiting_approval`: the policies in force require approvals that the votes do not satisfy; to
            # `outcome_unknown` if an earlier attempt may have acted.
            _E.STARTED: frozenset({_E.RUNNING, _E.CANCELLED, _E.AWAITING_APPROVAL, _E.OUTCOME_UNKNOWN}),
            # To `started`: the next attempt.
            _E.RUNNING: frozenset({_E.SUCCEEDED, _E.FAILED, _E.OUTCOME_UNKNOWN, _E.STARTED}),
            _E.SUCCEEDED: frozenset(),
            # To `started`: a retry, with the same envelope and approval.
            _E.FAILED: frozenset({_E.STARTED}),
            # Only by reconciliation; running it again is a new execution.
            _E.OUTCOME_UNKNOWN: frozenset({_E.SUCCEEDED, _E.FAILED}),
            _E.REJECTED: frozenset(),
            _E.EXPIRED: frozenset(),
            _E.CANCELLED: frozenset(),
        }
    ),
    ends=frozenset({_E.SUCCEEDED, _E.FAILED, _E.REJECTED, _E.EXPIRED, _E.CANCELLED}),
)
"""An item has at most one open execution.

`outcome_unknown` is open; `failed` is not, although a retry may reopen it.
"""

INTEGRATION_TEST: Final = Lifecycle(
    noun="a test",
    transitions=MappingProxyType(
        {
            _T.QUEUED: frozenset({_T.RUNNING}),
            _T.RUNNING: frozenset({_T.PASSED, _T.FAILED}),
            _T.PASSED: frozenset(),
            _T.FAILED: frozenset(),
        }
    ),
    ends=frozenset({_T.PASSED, _T.FAILED}),
)
