"""Opening and closing of decision steps."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any, Final

from integrations import selectors as integration_selectors
from integrations.executions.envelope import BuiltEnvelope, build_envelope
from integrations.models import Envelope, Execution
from policies import selectors as policy_selectors
from policies.language.approvals import ApprovalRule, to_json
from policies.models import PolicyDecision
from threada_site.database.batched_writes import batched_writes, insert_rows, update_row
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import sha256_hex
from workitems import selectors
from workitems.items.receipts import record_item, step_blocks
from workitems.items.requester_questions import close_questions
from workitems.items.transitions import transition_step
from workitems.lifecycle import StepKind, StepStatus
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.notices.enqueue import notice
from workitems.steps.batch_limits import batch_key
from workitems.steps.due_dates import due_dates
from workitems.steps.exclusions import controllers_when_opened, excluded_principals
from workitems.steps.opening_facts import opening_facts
from workitems.steps.pauses import end_pause, pause_new_step
from workitems.steps.pending_approvers import clear_pending_approvers, insert_pending_approvers
from workitems.steps.pins import re_evaluate_if_outdated

_DECIDED: Final = frozenset({StepStatus.APPROVED, StepStatus.REJECTED, StepStatus.EXPIRED})


def open_step(
    item: WorkItem,
    *,
    kind: StepKind,
    rule: ApprovalRule,
    decision: PolicyDecision | None,
    ctx: ActingContext,
    execution: Execution | None = None,
    envelope: Envelope | None = None,
    asked_by: uuid.UUID | None = None,
    question: str = "",
    carried: Sequence[Vote] = (),
) -> DecisionStep:
    """Open a decision step. Without the envelope of an action, build one for the item itself.

    Pins the policy versions that required the step, and stores the ids of the excluded principals. `carried` are votes
    on an earlier step over the same envelope that count on this one.
    """
    now = clock.now()
    due = due_dates(rule, now, policy_selectors.working_calendar(rule, tenant_id=item.tenant_id))
    pins = pinned_versions(decision)
    excluded = excluded_principals(
        item, rule, pins=pins, asked_by=asked_by, input_edited_by=execution.input_edited_by if execution else None
    )
    own_envelope = None
    if envelope is None:
        envelope = own_envelope = new_envelope(item, build_item_envelope(item, pins, question=question))
    step = DecisionStep(
        tenant_id=item.tenant_id,
        work_item_id=item.id,
        execution_id=execution.id if execution else None,
        envelope_id=envelope.id,
        envelope_sha256=envelope.sha256,
        payload_sha256=item.payload_sha256,
        kind=kind,
        workflow=item.workflow,
        question=question,
        rule=to_json(rule),
        batch_key=batch_key(
            kind=kind.value,
            workflow=item.workflow,
            integration=execution.integration if execution else "",
            action=execution.action if execution else "",
            question=question,
            rule=to_json(rule),
            matched=decision.matched if decision else (),
        ),
        is_flagged=bool(item.risk_flags),
        reason_codes=list(decision.reason_codes) if decision else [],
        policy_decision_id=decision.id if decision else None,
        policy_version_ids=pins,
        excluded_ids=sorted(excluded),
        excluded_controllers=controllers_when_opened(excluded, tenant_id=item.tenant_id),
        respond_due_at=due.respond_due_at,
        remind_at=due.remind_at,
        escalate_at=due.escalate_at,
        expires_at=due.expires_at,
        grants_as_of=item.first_step_opened_at or now,
        opened_at=now,
    )
    if item.open_questions:
        pause_new_step(item, step, now=now, ctx=ctx)
    is_first = item.first_step_opened_at is None
    with batched_writes():
        if own_envelope is not None:
            insert_rows(own_envelope)
        if is_first:
            item.first_step_opened_at = now
            update_row(item, "first_step_opened_at")
        insert_rows(step)
        insert_rows(*(_carried(vote, step) for vote in carried))
        insert_pending_approvers(step, rule, workflow_id=item.workflow_version.workflow_id)
        notice("assigned", step, None, ctx, occurrence="opened")
        blocks = step_blocks(step)
        record_item(
            "decision_step.opened",
            item,
            ctx=ctx,
            execution=execution,
            inputs={**blocks["inputs"], **opening_facts(step, carried)},
            policy=blocks["policy"],
            outcome={"status": step.status, "is_first": is_first},
        )
    re_evaluate_if_outdated(step, execution)
    return step


def _carried(vote: Vote, step: DecisionStep) -> Vote:
    """Return a copy of `vote` on another step, with the time at which it was cast."""
    return Vote(
        tenant_id=vote.tenant_id,
        step_id=step.id,
        voter_id=vote.voter_id,
        voter_kind=vote.voter_kind,
        decision=vote.decision,
        reason_code=vote.reason_code,
        envelope_sha256=vote.envelope_sha256,
        counted=vote.counted,
        stands_for=vote.stands_for,
        authentication=vote.authentication,
        carried_from=vote.carried_from or vote.id,
        created_at=vote.created_at,
    )


def close_step(
    step: DecisionStep,
    status: StepStatus,
    *,
    item: WorkItem,
    ctx: ActingContext,
    execution: Execution | None = None,
    reason_codes: tuple[str, ...] = (),
) -> None:
    """Close a locked step, remove its pending approvers, and write a receipt with the time it was open."""
    transition_step(step, status)
    assert step.closed_at is not None  # noqa: S101  (`transition_step` has set it)
    if step.paused_at is not None:
        end_pause(step, now=step.closed_at)
    if item.open_questions and status is not StepStatus.SUPERSEDED:
        close_questions(item, ctx=ctx)
    clear_pending_approvers(step, item=item)
    if status in _DECIDED:
        notice("decided", step, None, ctx, status=status.value)
    record_item(
        f"decision_step.{status.value}",
        item,
        ctx=ctx,
        execution=execution,
        **step_blocks(step),
        outcome={
            "status": step.status,
            "open_for_s": round((step.closed_at - step.opened_at).total_seconds(), 3),
            **_punctuality(step),
        },
        reason_codes=reason_codes,
    )


def _punctuality(step: DecisionStep) -> dict[str, bool]:
    """Return `in_time` of a decided step with a deadline: True if people decided it before `urgent_at`."""
    deadline = min((due for due in (step.respond_due_at, step.expires_at) if due is not None), default=None)
    if deadline is None or step.closed_at is None or step.status not in _DECIDED:
        return {}
    return {"in_time": step.status != StepStatus.EXPIRED and step.closed_at <= deadline}


def close_pending_step(
    item: WorkItem, status: StepStatus, *, ctx: ActingContext, execution: Execution | None = None
) -> None:
    """Close the pending step of the item, if any, for example as cancelled or superseded."""
    step = selectors.pending_step_of(item)
    if step is not None:
        close_step(step, status, item=item, ctx=ctx, execution=execution if step.execution_id else None)


def asked_by_action(step: DecisionStep) -> uuid.UUID | None:
    """Return the principal whose action requested the step; None if policies required it."""
    if step.policy_decision_id is not None:
        return None
    execution = integration_selectors.last_execution_of(step.work_item_id, tenant_id=step.tenant_id)
    return execution.requested_by if execution else None


def pinned_versions(decision: PolicyDecision | None) -> list[uuid.UUID]:
    """Return the ids of the policy versions whose rules required the step."""
    if decision is None:
        return []
    parsed = (ids.parse_public_id(ids.POLICY_VERSION, rule["version_id"]) for rule in decision.matched)
    return sorted({value for value in parsed if value is not None})


def build_item_envelope(item: WorkItem, pins: Iterable[uuid.UUID], *, question: str = "") -> BuiltEnvelope:
    """Return the envelope of a decision about the item: payload digest, evidence, question, `action: null`."""
    return build_envelope(
        salt=envelope_salt(item),
        work_item_id=item.public_id,
        item_version=item.version,
        payload_sha256=item.payload_sha256,
        policy_version_ids=[ids.public_id(ids.POLICY_VERSION, value) for value in pins],
        evidence=envelope_evidence(item),
        question=question or None,
    )


def envelope_salt(item: WorkItem) -> str:
    """Return the salt of the envelopes of a case.

    Receipts contain envelope hashes; without the salt, which erasure deletes, these reveal nothing about the contents.
    """
    return sha256_hex(b"envelope" + bytes(item.payload_salt))


def envelope_evidence(item: WorkItem) -> list[dict[str, Any]]:
    """Return the evidence of the item in the form that envelopes contain."""
    return [{"kind": part.kind, "content": part.content} for part in selectors.evidence_of(item)]


def new_envelope(item: WorkItem, built: BuiltEnvelope) -> Envelope:
    """Return an envelope of `item`, not yet saved."""
    return Envelope(tenant_id=item.tenant_id, work_item_id=item.id, body=built.body, sha256=built.sha256)
