"""Lifecycles of work items and decision steps. Only services of this app change a status. Pure."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final

from threada_site.kernel.lifecycles import Lifecycle


class WorkItemStatus(StrEnum):
    """Status of a case."""

    NEW = "new"
    IN_REVIEW = "in_review"
    AWAITING_APPROVAL = "awaiting_approval"
    READY = "ready"
    EXECUTING = "executing"
    FAILED = "failed"
    REFUSED = "refused"
    REJECTED = "rejected"
    EXPIRED = "expired"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"


class StepKind(StrEnum):
    """Subject of a decision step: the request (review), or the execution of an action (approval)."""

    REVIEW = "review"
    APPROVAL = "approval"


class StepStatus(StrEnum):
    """Status of a decision step. A claim is an attribute, not a status."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


_W, _S = WorkItemStatus, StepStatus

WORK_ITEM: Final = Lifecycle(
    noun="a work item",
    transitions=MappingProxyType(
        {
            # To `new`: a changed payload sends an open item through intake again, unless it is executing.
            _W.NEW: frozenset({_W.NEW, _W.REFUSED, _W.IN_REVIEW, _W.AWAITING_APPROVAL, _W.READY, _W.CANCELLED}),
            _W.IN_REVIEW: frozenset({_W.NEW, _W.READY, _W.AWAITING_APPROVAL, _W.REJECTED, _W.EXPIRED, _W.CANCELLED}),
            _W.AWAITING_APPROVAL: frozenset({_W.NEW, _W.READY, _W.EXECUTING, _W.REJECTED, _W.EXPIRED, _W.CANCELLED}),
            _W.READY: frozenset({_W.NEW, _W.AWAITING_APPROVAL, _W.EXECUTING, _W.RESOLVED, _W.CANCELLED}),
            _W.EXECUTING: frozenset({_W.READY, _W.AWAITING_APPROVAL, _W.RESOLVED, _W.FAILED, _W.CANCELLED}),
            _W.FAILED: frozenset({_W.NEW, _W.AWAITING_APPROVAL, _W.EXECUTING, _W.READY, _W.RESOLVED, _W.CANCELLED}),
            _W.REFUSED: frozenset(),
            _W.REJECTED: frozenset(),
            _W.EXPIRED: frozenset(),
            _W.RESOLVED: frozenset(),
            _W.CANCELLED: frozenset(),
        }
    ),
    ends=frozenset({_W.REFUSED, _W.REJECTED, _W.EXPIRED, _W.RESOLVED, _W.CANCELLED}),
)

DECISION_STEP: Final = Lifecycle(
    noun="a decision step",
    transitions=MappingProxyType(
        {
            _S.PENDING: frozenset({_S.APPROVED, _S.REJECTED, _S.EXPIRED, _S.CANCELLED, _S.SUPERSEDED}),
            _S.APPROVED: frozenset(),
            _S.REJECTED: frozenset(),
            _S.EXPIRED: frozenset(),
            _S.CANCELLED: frozenset(),
            _S.SUPERSEDED: frozenset(),
        }
    ),
    ends=frozenset({_S.APPROVED, _S.REJECTED, _S.EXPIRED, _S.CANCELLED, _S.SUPERSEDED}),
)
