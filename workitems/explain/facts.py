"""Facts of an explanation, and the explanation itself. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from integrations.lifecycle import ExecutionStatus
from policies.language.approvals import Exclusion, Leaf, OnExpiry
from workitems.approvers.count_votes import Eligibility, Need
from workitems.lifecycle import StepKind, WorkItemStatus

type Effect = Literal["allow", "review", "require_approval", "deny"]


@dataclass(frozen=True, slots=True)
class MatchedRule:
    """A matched rule: ids of policy and rule, and the reason code of the tenant."""

    policy: str
    rule: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFacts:
    """The latest policy decision of the item. `failure` is its reason code if no rule matched."""

    effect: Effect
    matched: tuple[MatchedRule, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """The pending decision step with its vote count.

    `approvals` counts votes that count, `needs` lists missing votes. Stage `stage` of `stages` is open. `escalate_to`
    lists approvers of the rule who may not decide yet. `claimed_by` and `assignee` are names. `history` says who
    escalated or reassigned it. `unowned` are names of agents and services without a known owner that take part in the
    case, or made the account of somebody who does.
    """

    kind: StepKind
    approvals: int
    needs: tuple[Need, ...]
    nobody_can_decide: bool = False
    unowned: tuple[str, ...] = ()
    stage: int = 1
    stages: int = 1
    exclude: Collection[Exclusion] = ()
    claimed_by: str = ""
    assignee: str = ""
    history: tuple[str, ...] = ()
    respond_due_at: datetime | None = None
    remind_at: datetime | None = None
    escalate_at: datetime | None = None
    escalate_to: tuple[Leaf, ...] = ()
    expires_at: datetime | None = None
    id: uuid.UUID | None = None
    on_expiry: OnExpiry = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFacts:
    """The open or last execution of the item.

    `failure` is a reason code, `next_at` the next attempt or deadline. `repeatable` is False after an ambiguous outcome
    at a receiver that does not deduplicate. `simulated`: nothing is sent. `detail` tells why an execution waits for
    another approval. `callback_due_at`: the receiver has accepted the call and must call back by then. `permit_id`: the
    permit that took the place of an approval.
    """

    status: ExecutionStatus
    action: str
    integration: str
    failure: str = ""
    next_at: datetime | None = None
    frozen: bool = False
    undoes: bool = False
    repeatable: bool = True
    simulated: bool = False
    detail: str = ""
    id: uuid.UUID | None = None
    callback_due_at: datetime | None = None
    permit_id: uuid.UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Effective permissions of the reader on the workflow, and eligibility on the pending step.

    `may_decide`: has `decisions:decide`; `manages`: has `workflow:manage`; `has_claimed`: claimed the step.
    `may_reconcile`: may state the outcome of the execution; requesters and owners of agents may not. `may_answer`: is
    one of those whom questions to the requester ask. `name`: as votes, claims and assignments name the reader.
    """

    name: str = ""
    is_requester: bool = False

    may_write: bool = False
    may_execute: bool = False
    may_reconcile: bool = False
    may_decide: bool = False
    manages: bool = False
    eligibility: Eligibility | None = None
    has_voted: bool = False
    has_claimed: bool = False
    may_answer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainInput:
    """Facts of one explanation. `ended_by` and `ended_reason` tell who closed the item and the stated reason.

    `asked_by` are the names of people whose questions to the requester are open; `paused_until` is the latest end of
    the pause of the deadlines.
    """

    status: WorkItemStatus
    decision: DecisionFacts | None = None
    step: StepFacts | None = None
    execution: ExecutionFacts | None = None
    ended_by: tuple[str, ...] = ()
    ended_reason: str = ""
    contents_erased: str = ""
    asked_by: tuple[str, ...] = ()
    paused_until: datetime | None = None
    reader: Reader = field(default_factory=Reader)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Sentences for people. `until` is the time of the next automatic change.

    `simulated`: the calls of the open or last execution are simulated.
    """

    why: list[str]
    waiting_for: list[str]
    until: datetime | None
    next: list[str]
    you_may: list[str]
    simulated: bool = False
