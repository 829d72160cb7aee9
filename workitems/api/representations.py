"""Representations of cases in answers: plain JSON types, public ids, RFC 3339 instants."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

import orjson

from integrations.executions.receiver_key import receiver_key
from integrations.models import Attempt, Execution, Freeze
from threada_site.kernel import clock, ids
from threada_site.kernel.clock import rfc3339
from workitems.approvers.count_votes import Need, VoteResult
from workitems.items.erasable_fields import erased_by
from workitems.models import DecisionStep, Delegation, Vote, WorkItem


def represent_work_item(item: WorkItem, *, whole: bool = False) -> dict[str, Any]:
    """Return a work item; `whole` adds its evidence, which lists omit."""
    body: dict[str, Any] = {
        "work_item_id": item.public_id,
        "status": item.status,
        "workflow_id": item.workflow,
        "workflow_version_id": ids.public_id(ids.WORKFLOW_VERSION, item.workflow_version_id),
        "channel_id": item.channel or None,
        "payload": item.payload,
        "payload_sha256": item.payload_sha256 or None,
        "confidence": item.confidence,
        "risk_flags": list(item.risk_flags),
        "data_class": item.data_class,
        "requester": ids.public_id(ids.PRINCIPAL, item.requester_id),
        "assignee": _principal(item.assignee_id),
        "external_ref": item.external_ref or None,
        "policy_version_id": _policy_version(item.policy_version_id),
        "ended_by": _principal(item.ended_by_id),
        "ended_reason": item.ended_reason or None,
        "nobody_can_decide": item.nobody_can_decide,
        "contents_erased": erased_by(item) or None,
        "subject_id": ids.public_id(ids.DATA_SUBJECT, item.subject_id) if item.subject_id else None,
        "version": item.version,
        "correlation_id": item.correlation_id,
        "created_at": rfc3339(item.created_at),
        "updated_at": rfc3339(item.updated_at),
    }
    if whole:
        body["evidence"] = [
            {"evidence_id": ids.public_id(ids.EVIDENCE, part.id), "kind": part.kind, "content": part.content}
            for part in item.evidence.all()
        ]
    return body


def represent_step(step: DecisionStep, result: VoteResult | None) -> dict[str, Any]:
    """Return a decision step with its envelope: the decoded object, the bytes (Base64), and their SHA-256."""
    sealed = bytes(step.envelope.body)
    claimant = step.claimant_at(clock.now())
    return {
        "decision_step_id": step.public_id,
        "work_item_id": ids.public_id(ids.WORK_ITEM, step.work_item_id),
        "execution_id": ids.public_id(ids.EXECUTION, step.execution_id) if step.execution_id else None,
        "workflow_id": step.workflow,
        "kind": step.kind,
        "status": step.status,
        "question": step.question or None,
        "envelope_sha256": step.envelope_sha256,
        "envelope": orjson.loads(sealed),
        "envelope_base64": base64.b64encode(sealed).decode(),
        "rule": step.rule,
        "batch_key": step.batch_key or None,
        "reason_codes": list(step.reason_codes),
        "policy_version_ids": [ids.public_id(ids.POLICY_VERSION, value) for value in step.policy_version_ids],
        "policy_decision_id": step.policy_decision_id and ids.public_id(ids.POLICY_DECISION, step.policy_decision_id),
        "waiting_for": [represent_need(need) for need in result.waiting_for] if result else [],
        "nobody_can_decide": bool(result and result.nobody_can_decide),
        "votes": [represent_vote(vote) for vote in step.votes.all()],
        "claimed_by": _principal(claimant),
        "claimed_until": _instant(step.claimed_until if claimant else None),
        "assignee": _principal(step.assignee_id),
        "escalated_to": list(step.escalated_to),
        "escalated_at": _instant(step.escalated_at),
        "respond_by": _instant(step.respond_by),
        "remind_at": _instant(step.remind_at),
        "escalate_at": _instant(step.escalate_at),
        "due_at": _instant(step.expires_at),
        "opened_at": rfc3339(step.opened_at),
        "closed_at": _instant(step.closed_at),
    }


def represent_need(need: Need) -> dict[str, Any]:
    """Return the votes that a step still needs: `{role|group|user|scope: name, missing}`."""
    return {need.leaf.kind: need.leaf.name, "missing": need.missing}


def represent_vote(vote: Vote) -> dict[str, Any]:
    """Return a vote. `counted` is false for services and agents, whose votes are advisory."""
    return {
        "vote_id": vote.public_id,
        "voter": ids.public_id(ids.PRINCIPAL, vote.voter_id),
        "voter_kind": vote.voter_kind,
        "decision": vote.decision,
        "reason_code": vote.reason_code or None,
        "comment": vote.comment or None,
        "envelope_sha256": vote.envelope_sha256,
        "counted": vote.counted,
        "stands_for": [ids.public_id(ids.PRINCIPAL, person) for person in vote.stands_for],
        "created_at": rfc3339(vote.created_at),
    }


def represent_vote_cast(vote: Vote, *, step: DecisionStep, item: WorkItem) -> dict[str, Any]:
    """Return a new vote with the resulting status of step and work item."""
    return {
        **represent_vote(vote),
        "decision_step_id": step.public_id,
        "step_status": step.status,
        "work_item_id": item.public_id,
        "work_item_status": item.status,
    }


def represent_delegation(delegation: Delegation, *, now: datetime) -> dict[str, Any]:
    return {
        "delegation_id": delegation.public_id,
        "delegator": ids.public_id(ids.PRINCIPAL, delegation.delegator_id),
        "delegate": ids.public_id(ids.PRINCIPAL, delegation.delegate_id),
        "starts_at": rfc3339(delegation.starts_at),
        "ends_at": rfc3339(delegation.ends_at),
        "is_active": delegation.starts_at <= now < delegation.ends_at,
        "reason": delegation.reason or None,
        "created_at": rfc3339(delegation.created_at),
        "ended_at": _instant(delegation.ended_at),
    }


def represent_execution(execution: Execution, *, attempts: list[Attempt] | None = None) -> dict[str, Any]:
    """Return an execution; `attempts` adds its attempts."""
    body: dict[str, Any] = {
        "execution_id": execution.public_id,
        "work_item_id": ids.public_id(ids.WORK_ITEM, execution.work_item_id),
        "workflow_id": execution.workflow,
        "channel_id": execution.channel or None,
        "integration_id": execution.integration,
        "action_id": execution.action,
        "integration_version_id": ids.public_id(ids.INTEGRATION_VERSION, execution.integration_version_id),
        "status": execution.status,
        "envelope_sha256": execution.envelope.sha256,
        "idempotency_key": execution.idempotency_key,
        "receiver_idempotency_key": receiver_key(execution.id),
        "input": execution.input,
        "requested_by": ids.public_id(ids.PRINCIPAL, execution.requested_by),
        "undoes": ids.public_id(ids.EXECUTION, execution.undoes_id) if execution.undoes_id else None,
        "policy_decision_id": execution.policy_decision_id
        and ids.public_id(ids.POLICY_DECISION, execution.policy_decision_id),
        "policy_version_id": _policy_version(execution.policy_version_id),
        "attempts_made": execution.attempts_made,
        "next_try_at": _instant(execution.next_try_at),
        "waits_for": execution.waits_for or None,
        "waiting_until": _instant(execution.waiting_until),
        "held_by": ids.public_id(ids.FREEZE, execution.blocked_by_freeze_id)
        if execution.blocked_by_freeze_id
        else None,
        "failure": execution.failure or None,
        "failure_detail": execution.failure_detail or None,
        "result": execution.result,
        "correlation_id": execution.correlation_id,
        "created_at": rfc3339(execution.created_at),
        "finished_at": _instant(execution.finished_at),
    }
    if attempts is not None:
        body["attempts"] = [represent_attempt(attempt) for attempt in attempts]
    return body


def represent_attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt_id": attempt.public_id,
        "number": attempt.number,
        "outcome": attempt.outcome or None,
        "failure": attempt.failure or None,
        "ambiguous": attempt.ambiguous,
        "response": attempt.response,
        "started_at": rfc3339(attempt.started_at),
        "finished_at": _instant(attempt.finished_at),
    }


def represent_freeze(freeze: Freeze) -> dict[str, Any]:
    return {
        "freeze_id": freeze.public_id,
        "scope": {name: value for name in ("workflow", "integration", "action") if (value := getattr(freeze, name))},
        "in_force": freeze.lifted_at is None,
        "reason": freeze.reason,
        "set_by": _principal(freeze.set_by),
        "set_at": rfc3339(freeze.set_at),
        "lifted_by": _principal(freeze.lifted_by),
        "lifted_at": _instant(freeze.lifted_at),
        "lifted_reason": freeze.lifted_reason or None,
    }


def _instant(value: datetime | None) -> str | None:
    return rfc3339(value) if value else None


def _principal(value: Any) -> str | None:
    return ids.public_id(ids.PRINCIPAL, value) if value else None


def _policy_version(value: Any) -> str | None:
    return ids.public_id(ids.POLICY_VERSION, value) if value else None
