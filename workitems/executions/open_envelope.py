"""Verification of an envelope right before its call, against the rows it was built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from integrations.attempts.failures import envelope_mismatch
from integrations.configuration.parsed_documents import check_intact, document_of
from integrations.configuration.simulation import is_simulated
from integrations.executions.envelope import check_agrees, open_envelope
from integrations.models import Execution
from integrations.tools.pins import check_pin
from policies.models import PolicyDecision
from policies.selectors import policy_decision
from threada_site.kernel.json.canonical import canonical_sha256
from workitems import selectors
from workitems.executions.approval_receipts import check_approvals
from workitems.executions.build_envelope import build_request_envelope
from workitems.lifecycle import StepStatus
from workitems.models import DecisionStep, Vote, WorkItem
from workitems.steps.opening_and_closing import pinned_versions


@dataclass(frozen=True, slots=True)
class GivenApprovals:
    """Approved steps over the envelope of an execution, and the votes of people on them."""

    steps: tuple[DecisionStep, ...] = ()
    votes: tuple[Vote, ...] = ()


def open_to_run(item: WorkItem, execution: Execution) -> tuple[dict[str, Any], GivenApprovals]:
    """Return the verified envelope of a locked execution, and the approvals given for it.

    Raises `TransportFailure` (`envelope_mismatch`) if bytes and hash, item, payload, evidence, input, action,
    integration version, idempotency key, policy versions or the approval no longer match the envelope.
    """
    envelope = execution.envelope
    envelope_fields = open_envelope(bytes(envelope.body), envelope.sha256)
    check_intact(execution)
    if canonical_sha256(item.payload) != item.payload_sha256:
        raise envelope_mismatch("What would run is not what the envelope contains: the payload was changed.")
    if not isinstance(envelope_fields.get("request"), dict):
        raise envelope_mismatch("The envelope contains no request.")
    decided = execution.policy_decision_id
    decision = policy_decision(decided, tenant_id=item.tenant_id) if decided else None
    document = document_of(execution.integration_version)
    if execution.is_simulated != is_simulated(document.connector):
        raise envelope_mismatch("The execution and its integration version disagree on whether the call is simulated.")
    action = document.action(execution.action)
    undo_after = (envelope_fields.get("action") or {}).get("undo_after")
    if (undo_after is None) != (action.undo_after is None):
        raise envelope_mismatch("What would run is not what the envelope contains: the time of its undo.")
    now = build_request_envelope(
        item,
        execution,
        pinned_versions(decision),
        envelope_fields["request"],
        action=action,
        connector=document.connector,
        undo_after=undo_after,
    )
    check_agrees(envelope_fields, now)
    check_pin(execution, document, envelope_fields["request"])
    return envelope_fields, _approvals(execution, decision)


def _approvals(execution: Execution, decision: PolicyDecision | None) -> GivenApprovals:
    """Return the approvals. Raise `TransportFailure` if a required one was not given for exactly this envelope."""
    if execution.permit_id is not None:  # checked by `missing_approval`
        return GivenApprovals()
    sha256 = execution.envelope.sha256
    asked = selectors.steps_about(execution)
    if not asked and (decision is None or decision.outcome != "require_approval"):
        return GivenApprovals()
    steps = tuple(
        step
        for step in asked
        if (step.envelope_sha256, step.status) == (sha256, StepStatus.APPROVED) and _has_its_pins(step, decision)
    )
    rows = Vote.objects.filter(tenant_id=execution.tenant_id, step__in=steps, counted=True)
    votes = tuple(rows.defer("comment").order_by("id"))
    if {vote.envelope_sha256 for vote in votes if vote.decision == "approve"} != {sha256}:
        raise envelope_mismatch("What would run is not what was approved.")
    check_approvals(execution.work_item_id, steps, votes)
    return GivenApprovals(steps, votes)


def _has_its_pins(step: DecisionStep, decision: PolicyDecision | None) -> bool:
    """Return True if the step pins the policy versions of the decision that required it.

    A step that was required right before a call has a decision of its own.
    """
    own = decision
    if step.policy_decision_id != (decision.id if decision else None):
        own = policy_decision(step.policy_decision_id, tenant_id=step.tenant_id) if step.policy_decision_id else None
    return step.policy_version_ids == pinned_versions(own)
