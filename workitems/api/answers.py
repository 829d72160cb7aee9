"""Schemas of the answers of the case endpoints, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from integrations.lifecycle import ExecutionStatus
from telemetry.api.answers import RECEIPT_PROMISE
from threada_site.api.operations import representation
from threada_site.api.shapes import SLUG, id_schema
from threada_site.kernel import ids
from threada_site.kernel.context import PrincipalKind
from workitems.lifecycle import StepKind, StepStatus, WorkItemStatus

TEXT: Final[dict[str, Any]] = {"type": "string"}
MAYBE_TEXT: Final[dict[str, Any]] = {"type": ["string", "null"]}
INSTANT: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
MAYBE_INSTANT: Final[dict[str, Any]] = {"type": ["string", "null"], "format": "date-time"}
SHA256: Final[dict[str, Any]] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
OBJECT: Final[dict[str, Any]] = {"type": "object"}
TEXTS: Final[dict[str, Any]] = {"type": "array", "items": TEXT}


def maybe(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that also accepts null."""
    return {"anyOf": [schema, {"type": "null"}]}


def words(enumeration: Any) -> dict[str, Any]:
    """Return the schema of the values of an enumeration."""
    return {"enum": [entry.value for entry in enumeration]}


_WORK_ITEM: Final = {
    "work_item_id": id_schema(ids.WORK_ITEM),
    "status": words(WorkItemStatus),
    "workflow_id": SLUG,
    "workflow_version_id": id_schema(ids.WORKFLOW_VERSION),
    "channel_id": maybe(SLUG),
    "payload": OBJECT,
    "payload_sha256": maybe(SHA256),
    "confidence": {"type": "number", "minimum": 0, "maximum": 1},
    "risk_flags": TEXTS,
    "data_class": TEXT,
    "requester": id_schema(ids.PRINCIPAL),
    "assignee": maybe(id_schema(ids.PRINCIPAL)),
    "external_ref": MAYBE_TEXT,
    "policy_version_id": maybe(id_schema(ids.POLICY_VERSION)),
    "ended_by": maybe(id_schema(ids.PRINCIPAL)),
    "ended_reason": MAYBE_TEXT,
    "nobody_can_decide": {"type": "boolean", "description": "The current members cannot complete the pending step."},
    "contents_erased": {"enum": ["retention", "subject", None]},
    "subject_id": {
        **maybe(id_schema(ids.DATA_SUBJECT)),
        "description": "Data subject under whose key the contents are encrypted; null if the workflow names none.",
    },
    "version": {"type": "integer", "minimum": 1},
    "correlation_id": TEXT,
    "created_at": INSTANT,
    "updated_at": INSTANT,
}
_EXAMPLE: Final = {
    "work_item_id": "wi_01k9zq6w4ve9qtr1n5m2d3c4b5",
    "status": "new",
    "workflow_id": "policy_review",
    "workflow_version_id": "wv_01k9zq5x3ae1krtz9w8v7m6n5p",
    "channel_id": "web_main",
    "payload": {"question": "May we share the vendor list with our auditor?"},
    "payload_sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "confidence": 1.0,
    "risk_flags": [],
    "data_class": "internal",
    "requester": "pr_01k9zq4m2be5t8v7x6y5z4w3a2",
    "assignee": None,
    "external_ref": None,
    "policy_version_id": None,
    "ended_by": None,
    "ended_reason": None,
    "nobody_can_decide": False,
    "contents_erased": None,
    "subject_id": None,
    "version": 1,
    "correlation_id": "0f8fad5bd9cb469fa16570867728950e",
    "created_at": "2026-01-31T09:30:00.000Z",
    "updated_at": "2026-01-31T09:30:00.000Z",
}
WORK_ITEM: Final = representation("WorkItem", _WORK_ITEM, example=_EXAMPLE)
WHOLE_WORK_ITEM: Final = representation(
    "WorkItemWithEvidence",
    {
        **_WORK_ITEM,
        "evidence": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "evidence_id": id_schema(ids.EVIDENCE),
                    "kind": {"enum": ["citation", "retrieval_trace", "fallback"]},
                    "content": {},
                },
                "required": ["evidence_id", "kind", "content"],
            },
        },
    },
)
EXPLANATION: Final = representation(
    "Explanation",
    {
        "work_item_id": id_schema(ids.WORK_ITEM),
        "status": words(WorkItemStatus),
        "why": TEXTS,
        "waiting_for": TEXTS,
        "until": MAYBE_INSTANT,
        "next": TEXTS,
        "you_may": TEXTS,
    },
)
_VOTE: Final = {
    "vote_id": id_schema(ids.VOTE),
    "voter": id_schema(ids.PRINCIPAL),
    "voter_kind": words(PrincipalKind),
    "decision": {"enum": ["approve", "reject"]},
    "reason_code": MAYBE_TEXT,
    "comment": MAYBE_TEXT,
    "envelope_sha256": SHA256,
    "counted": {"type": "boolean", "description": "False for votes of services and agents, which are advisory."},
    "stands_for": {
        "type": "array",
        "items": id_schema(ids.PRINCIPAL),
        "description": "Delegators of the voter at the time of the vote.",
    },
    "created_at": INSTANT,
}
VOTE: Final = representation("Vote", _VOTE)
VOTE_CAST: Final = representation(
    "VoteCast",
    {
        **_VOTE,
        "decision_step_id": id_schema(ids.DECISION_STEP),
        "step_status": words(StepStatus),
        "work_item_id": id_schema(ids.WORK_ITEM),
        "work_item_status": words(WorkItemStatus),
    },
)
VOTE_ANSWER: Final = representation(
    "VoteAnswer", {**VOTE_CAST.schema["properties"], "receipt_promise": RECEIPT_PROMISE}
)
VOTES_CAST: Final = representation(
    "VotesCast", {"votes": {"type": "array", "items": VOTE_CAST}, "receipt_promise": RECEIPT_PROMISE}
)
STEP: Final = representation(
    "DecisionStep",
    {
        "decision_step_id": id_schema(ids.DECISION_STEP),
        "work_item_id": id_schema(ids.WORK_ITEM),
        "execution_id": maybe(id_schema(ids.EXECUTION)),
        "workflow_id": SLUG,
        "kind": words(StepKind),
        "status": words(StepStatus),
        "question": MAYBE_TEXT,
        "envelope_sha256": SHA256,
        "envelope": {"type": "object", "description": "The decoded envelope."},
        "envelope_base64": {"type": "string", "description": "The exact bytes whose SHA-256 a vote contains."},
        "rule": OBJECT,
        "batch_key": {**MAYBE_TEXT, "description": "Steps with the same key can be decided by one batch of votes."},
        "reason_codes": TEXTS,
        "policy_version_ids": {"type": "array", "items": id_schema(ids.POLICY_VERSION)},
        "policy_decision_id": maybe(id_schema(ids.POLICY_DECISION)),
        "waiting_for": {
            "type": "array",
            "items": {"type": "object", "properties": {"missing": {"type": "integer"}}, "required": ["missing"]},
        },
        "nobody_can_decide": {"type": "boolean"},
        "votes": {"type": "array", "items": VOTE},
        "claimed_by": maybe(id_schema(ids.PRINCIPAL)),
        "claimed_until": MAYBE_INSTANT,
        "assignee": maybe(id_schema(ids.PRINCIPAL)),
        "escalated_to": {
            "type": "array",
            "items": OBJECT,
            "description": "Approvers added by an escalation.",
        },
        "escalated_at": MAYBE_INSTANT,
        "respond_by": MAYBE_INSTANT,
        "remind_at": MAYBE_INSTANT,
        "escalate_at": MAYBE_INSTANT,
        "due_at": MAYBE_INSTANT,
        "opened_at": INSTANT,
        "closed_at": MAYBE_INSTANT,
    },
)
STEP_AMENDED: Final = representation(
    "DecisionStepChanged",
    {
        "decision_step": STEP,
        "superseded_decision_step_id": id_schema(ids.DECISION_STEP),
        "difference": {
            "type": "object",
            "description": "Differences between the new envelope and the superseded one.",
            "properties": {
                "changes": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"pointer": TEXT, "from": {}, "to": {}},
                        "required": ["pointer"],
                    },
                },
                "omitted": {"type": "integer", "minimum": 0},
            },
            "required": ["changes", "omitted"],
        },
    },
)
DELEGATION: Final = representation(
    "Delegation",
    {
        "delegation_id": id_schema(ids.DELEGATION),
        "delegator": id_schema(ids.PRINCIPAL),
        "delegate": id_schema(ids.PRINCIPAL),
        "starts_at": INSTANT,
        "ends_at": INSTANT,
        "is_active": {"type": "boolean", "description": "True while the delegation is in force."},
        "reason": MAYBE_TEXT,
        "created_at": INSTANT,
        "ended_at": MAYBE_INSTANT,
    },
)
ACTION_ACCEPTED: Final = representation(
    "ActionAccepted",
    {
        "execution_id": id_schema(ids.EXECUTION),
        "status": {"enum": ["started", "awaiting_approval"]},
        "idempotency_key": TEXT,
        "work_item_id": id_schema(ids.WORK_ITEM),
        "work_item_status": words(WorkItemStatus),
        "decision_steps": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "decision_step_id": id_schema(ids.DECISION_STEP),
                    "kind": words(StepKind),
                    "status": words(StepStatus),
                    "envelope_sha256": SHA256,
                    "rule": OBJECT,
                },
                "required": ["decision_step_id", "kind", "status", "envelope_sha256", "rule"],
            },
        },
        "receipt_promise": RECEIPT_PROMISE,
    },
    example={
        "execution_id": "ex_01k9zq7a5we8hs2r3t4v5w6x7y",
        "status": "started",
        "idempotency_key": "threada-Zk1Qx0aYcVbN3mLpR8tUwS2d",
        "work_item_id": "wi_01k9zq6w4ve9qtr1n5m2d3c4b5",
        "work_item_status": "executing",
        "decision_steps": [],
        "receipt_promise": {
            "promise": "threada.example.org/promises\nlog threada.example.org/tn_01k9zq5m3te5hvj6n8p9q0r1s2\n"
            "given 2026-11-25T09:30:00Z\ndue 2026-11-26T09:30:00Z\n"
            "receipt rc_01k9zq7a6xfj9t3s4v5w6x7y8z 5tVbZK9CJ0q9gmh2vVxXHfvEhJtG1Qm1jS0Yt2V9m3E=\n\n"
            "— threada.example.org/promises 9xqk…\n",
            "promise_key": "threada.example.org/promise-key\nthreada.example.org/promises+3f7b21aa+AQ…\n\n"
            "— threada.example.org/promise-key J0c2…\n",
            "due_at": "2026-11-26T09:30:00.000Z",
            "receipt_ids": ["rc_01k9zq7a6xfj9t3s4v5w6x7y8z"],
        },
    },
)
EXECUTIONS_REPLAYED: Final = representation(
    "ExecutionsReplayed",
    {
        "replayed": {"type": "array", "items": id_schema(ids.EXECUTION)},
        "refused": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"execution_id": id_schema(ids.EXECUTION), "reason_code": TEXT, "detail": TEXT},
                "required": ["execution_id", "reason_code", "detail"],
            },
        },
        "has_more": {"type": "boolean", "description": "True if more dead letters match the request."},
    },
)
_EXECUTION: Final = {
    "execution_id": id_schema(ids.EXECUTION),
    "work_item_id": id_schema(ids.WORK_ITEM),
    "workflow_id": SLUG,
    "channel_id": maybe(SLUG),
    "integration_id": SLUG,
    "action_id": SLUG,
    "integration_version_id": id_schema(ids.INTEGRATION_VERSION),
    "status": words(ExecutionStatus),
    "envelope_sha256": SHA256,
    "idempotency_key": TEXT,
    "receiver_idempotency_key": {
        "type": "string",
        "description": "Idempotency key that every attempt sends to the receiver.",
    },
    "input": OBJECT,
    "requested_by": id_schema(ids.PRINCIPAL),
    "undoes": maybe(id_schema(ids.EXECUTION)),
    "policy_decision_id": maybe(id_schema(ids.POLICY_DECISION)),
    "policy_version_id": maybe(id_schema(ids.POLICY_VERSION)),
    "attempts_made": {"type": "integer", "minimum": 0},
    "next_try_at": MAYBE_INSTANT,
    "waits_for": {"enum": ["concurrency", "rate", "breaker", None], "description": "Limit that delayed the execution."},
    "waiting_until": {**MAYBE_INSTANT, "description": "Deadline of the receiver's callback."},
    "held_by": {**maybe(id_schema(ids.FREEZE)), "description": "Freeze that blocks the execution."},
    "failure": MAYBE_TEXT,
    "failure_detail": MAYBE_TEXT,
    "result": {"type": ["object", "null"]},
    "correlation_id": TEXT,
    "created_at": INSTANT,
    "finished_at": MAYBE_INSTANT,
}
EXECUTION: Final = representation("Execution", _EXECUTION)
ATTEMPT: Final = representation(
    "Attempt",
    {
        "attempt_id": id_schema(ids.ATTEMPT),
        "number": {"type": "integer", "minimum": 1},
        "outcome": MAYBE_TEXT,
        "failure": MAYBE_TEXT,
        "ambiguous": {"type": "boolean"},
        "response": {"type": ["object", "null"]},
        "started_at": INSTANT,
        "finished_at": MAYBE_INSTANT,
    },
)
EXECUTION_WITH_ATTEMPTS: Final = representation(
    "ExecutionWithAttempts", {**_EXECUTION, "attempts": {"type": "array", "items": ATTEMPT}}
)
_FREEZE: Final = {
    "freeze_id": id_schema(ids.FREEZE),
    "scope": {"type": "object", "properties": {"workflow": SLUG, "integration": SLUG, "action": SLUG}},
    "in_force": {"type": "boolean"},
    "reason": TEXT,
    "set_by": maybe(id_schema(ids.PRINCIPAL)),
    "set_at": INSTANT,
    "lifted_by": maybe(id_schema(ids.PRINCIPAL)),
    "lifted_at": MAYBE_INSTANT,
    "lifted_reason": MAYBE_TEXT,
}
FREEZE: Final = representation("Freeze", _FREEZE)
FREEZE_WITH_EXECUTIONS: Final = representation(
    "FreezeWithExecutions",
    {
        **_FREEZE,
        "in_flight": {
            "type": "array",
            "items": id_schema(ids.EXECUTION),
            "description": "Executions of the scope that were sent before the freeze and still run; at most 200.",
        },
        "held": {
            "type": "array",
            "items": id_schema(ids.EXECUTION),
            "description": "Executions that the freeze blocks; at most 200.",
        },
    },
)
