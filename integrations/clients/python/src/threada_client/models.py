"""Resources of the API, written from its OpenAPI document by `write_models.py`."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

WorkItemStatus = Literal[
    "new",
    "in_review",
    "awaiting_approval",
    "ready",
    "executing",
    "failed",
    "refused",
    "rejected",
    "expired",
    "resolved",
    "cancelled",
]
ExecutionStatus = Literal[
    "awaiting_approval",
    "started",
    "running",
    "succeeded",
    "failed",
    "outcome_unknown",
    "rejected",
    "expired",
    "cancelled",
]
DecisionStepStatus = Literal["pending", "approved", "rejected", "expired", "cancelled", "superseded"]
TelemetryExportStatus = Literal["requested", "running", "ready", "failed", "expired", "cancelled"]
TelemetryExportFormat = Literal["ndjson", "csv", "parquet", "cloudevents", "cloudevents-batch"]


class WorkItem(TypedDict):
    """Resource `WorkItem` of the API."""

    work_item_id: str
    title: str
    status: WorkItemStatus
    workflow_id: str
    workflow_version_id: str
    channel_id: str | None
    payload: dict[str, Any] | None
    payload_omitted: bool
    payload_sha256: str | None
    confidence: float
    risk_flags: list[str]
    data_class: str
    requester: str
    assignee: str | None
    external_ref: str | None
    metadata: dict[str, Any]
    policy_version_id: str | None
    ended_by: str | None
    ended_reason: str | None
    nobody_can_decide: bool
    waits_for_requester: bool
    contents_erased: Literal["retention", "subject"] | None
    subject_id: str | None
    version: int
    correlation_id: str
    created_at: str
    updated_at: str


class WorkItemWithEvidence(WorkItem):
    """Resource `WorkItemWithEvidence` of the API."""

    evidence: list[dict[str, Any]]


class Execution(TypedDict):
    """Resource `Execution` of the API."""

    execution_id: str
    work_item_id: str
    workflow_id: str
    channel_id: str | None
    integration_id: str
    action_id: str
    integration_version_id: str
    simulated: bool
    status: ExecutionStatus
    envelope_sha256: str
    idempotency_key: str
    receiver_idempotency_key: str
    input: dict[str, Any] | None
    payload_omitted: bool
    requested_by: str
    undoes: str | None
    undo_due_at: str | None
    undo_problem: str | None
    policy_decision_id: str | None
    policy_version_id: str | None
    attempts_made: int
    next_try_at: str | None
    waits_for: Literal["concurrency", "rate", "breaker"] | None
    callback_due_at: str | None
    blocked_by_freeze_id: str | None
    failure: str | None
    failure_detail: str | None
    result: dict[str, Any] | None
    correlation_id: str
    created_at: str
    finished_at: str | None


class ExecutionWithAttempts(Execution):
    """Resource `ExecutionWithAttempts` of the API."""

    attempts: list[dict[str, Any]]


class DecisionStep(TypedDict):
    """Resource `DecisionStep` of the API."""

    decision_step_id: str
    work_item_id: str
    execution_id: str | None
    title: str
    workflow_id: str
    kind: Literal["review", "approval"]
    status: DecisionStepStatus
    question: str | None
    envelope_sha256: str
    envelope: dict[str, Any] | None
    envelope_base64: str | None
    payload_omitted: bool
    rule: dict[str, Any]
    batch_key: str | None
    reason_codes: list[str]
    policy_version_ids: list[str]
    policy_decision_id: str | None
    waiting_for: list[dict[str, Any]]
    nobody_can_decide: bool
    votes: list[dict[str, Any]]
    claimed_by: str | None
    claim_expires_at: str | None
    assignee: str | None
    escalated_to: list[dict[str, Any]]
    escalated_at: str | None
    respond_due_at: str | None
    respond_by: str | None
    remind_at: str | None
    escalate_at: str | None
    due_at: str | None
    opened_at: str
    closed_at: str | None


class ActionAccepted(TypedDict):
    """Resource `ActionAccepted` of the API."""

    execution_id: str
    status: ExecutionStatus
    idempotency_key: str
    work_item_id: str
    work_item_status: WorkItemStatus
    decision_steps: list[dict[str, Any]]
    failure: str | None
    result: dict[str, Any] | None
    receipt_promise: dict[str, Any] | None


class VoteAnswer(TypedDict):
    """Resource `VoteAnswer` of the API."""

    vote_id: str
    voted_by: str
    voter_kind: Literal["human", "service", "agent"]
    decision: Literal["approve", "reject"]
    reason_code: str | None
    comment: str | None
    envelope_sha256: str
    counted: bool
    stands_for: list[str]
    carried_from: str | None
    authentication: dict[str, Any]
    created_at: str
    decision_step_id: str
    step_status: DecisionStepStatus
    work_item_id: str
    work_item_status: WorkItemStatus
    receipt_promise: dict[str, Any] | None


class Explanation(TypedDict):
    """Resource `Explanation` of the API."""

    work_item_id: str
    status: WorkItemStatus
    why: list[str]
    waiting_for: list[str]
    wait_ends_at: str | None
    waits: list[dict[str, Any]]
    next: list[str]
    you_may: list[str]
    simulated: bool


class Event(TypedDict):
    """Resource `Event` of the API."""

    receipt_id: str
    kind: str
    occurred_at: str
    actor: str
    work_item_id: str | None
    execution_id: str | None
    workflow_id: str | None
    channel_id: str | None
    integration_id: str | None
    status: str | None
    policy_version_id: str | None
    reason_codes: list[str]
    correlation_id: str
    body_sha256: str
    body: dict[str, Any]


class TelemetryExport(TypedDict):
    """Resource `TelemetryExport` of the API."""

    export_id: str
    status: TelemetryExportStatus
    format: TelemetryExportFormat
    compression: Literal["none", "gzip"]
    filters: dict[str, Any]
    created_after: str
    created_before: str
    requested_by: str
    created_at: str
    rows: int
    rows_expected: int | None
    size: int
    sha256: str | None
    failure: dict[str, Any] | None
    started_at: str | None
    ready_at: str | None
    expires_at: str | None
    download_url: str


class Checkpoint(TypedDict):
    """Resource `Checkpoint` of the API."""

    checkpoint_id: str
    origin: str
    tree_size: int
    root_hash: str
    signed_at: str
    checkpoint: str
    verifier_keys: list[str]


class ConfigurationApplied(TypedDict):
    """Resource `ConfigurationApplied` of the API."""

    documents: int
    changes: list[dict[str, Any]]
    warnings: list[dict[str, Any]]


class ConfigurationPlan(ConfigurationApplied):
    """Resource `ConfigurationPlan` of the API."""

    digest: str
    has_changes: bool
    needs_confirmation: bool
    left: list[dict[str, Any]]


class ProposedChange(TypedDict):
    """Resource `ProposedChange` of the API."""

    change_set_id: str
    status: Literal["proposed"]
    digest: str
    title: str
    rule: str


class Me(TypedDict):
    """Resource `Me` of the API."""

    principal_id: str
    kind: Literal["human", "service", "agent"]
    name: str
    tenant: str
    roles: list[str]
    groups: list[str]
    scopes: list[
        Literal[
            "workitems:read",
            "workitems:write",
            "workitems:on_behalf",
            "workflow:manage",
            "policies:write",
            "policies:publish",
            "decisions:decide",
            "integrations:manage",
            "actions:execute",
            "actions:freeze",
            "telemetry:read",
            "identity:provision",
            "configuration:write",
        ]
    ]
    credential_id: str | None
    credential_expires_at: str | None
    memberships: int
